"""runs: what lies under outputs, listed, compared, summed up and cleaned."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from burnish.errors import ConfigError, RunError
from burnish.runs.console import short, table
from burnish.runs.folder import RunFolder
from burnish.runs.listing import (
    FIELDS,
    Run,
    conditions,
    filtered,
    find,
    lower_is_better,
    one_line,
    ordered,
    pick,
    read,
    read_provenance,
)

HELP = """\
Look at the runs under outputs: train/*/*, multirun/*/*/* and search/*/*. Only their small files are
read, and nothing but `clean --yes` changes any. A run may be going on meanwhile.

KEY is a metric (test/accuracy), one of {fields} (age and seconds in seconds, best: of the
monitored metric), or a key of the configuration (optimizer.lr; model is what was typed, else the
name of the class). RUN is a folder, or the end of its path, if that is enough to tell it.
"""

EXAMPLES = """\
examples:
  burnish runs list --sort test/accuracy --where model=mlp 'test/accuracy>0.9'
  burnish runs show outputs/train/2026-01-31/12-00-00-digits-mlp-1a2b3c
  burnish runs diff 1a2b3c 4d5e6f
  burnish runs best --metric test/accuracy --where data=digits
  burnish runs table --format csv
  burnish runs clean --keep 3            says what would go; --yes removes it
"""

SHOWN_FIELDS = ("status", "age", "best", "seconds")  # by every list
TEST_COLUMNS = 3  # metrics of the test in a list; `show` has all
WIDEST = 72  # characters of a value or of a run's overrides in a line
SKIPPED = 3  # folders named

VERBS = {
    "list": "status, age, best and test metrics, seconds and overrides of each",
    "show": "all that one run says of itself",
    "diff": "what differs between two: configuration, provenance, result",
    "best": "the best finished run by a metric",
    "table": "mean ± standard deviation over runs that differ by seed or fold only",
    "clean": "remove checkpoints of failed and dominated runs",
}


def main(argv: Sequence[str]) -> int:
    """Run ``burnish runs`` with these arguments.

    Returns:
        The exit code: 0, or 1 from ``best`` and ``table`` if there is no such run.

    Raises:
        ConfigError: if an option is out of range, or names what no run has.
        RunError: if the folder or a run is missing or cannot be read.
    """
    options = _parser().parse_args(argv)
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list, "show": _show, "diff": _diff,
        "best": _best, "table": _table, "clean": _clean,
    }  # fmt: skip
    return verbs[options.verb](options)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    text = HELP.format(fields=", ".join(FIELDS))
    parser = argparse.ArgumentParser(
        "burnish runs", description=text, epilog=EXAMPLES, formatter_class=raw
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = {name: _verb(verbs, name).add_argument for name in VERBS}
    for name in ("list", "best", "table", "clean"):
        add[name]("--where", nargs="+", action="extend", default=[], metavar="CONDITION",
            help="only runs that meet all, like model=mlp 'test/accuracy>0.9'")  # fmt: skip
    add["list"]("--sort", metavar="KEY", help="the better or smaller first (default: the newest)")
    add["list"]("--limit", type=int, default=30, metavar="N",
        help="lines at most, 0 for all (default 30)")  # fmt: skip
    add["show"]("run", metavar="RUN")
    add["diff"]("a", metavar="A", help="a run")
    add["diff"]("b", metavar="B", help="another")
    add["best"]("--metric", default="best", metavar="KEY", help="(default: the monitored one)")
    add["best"]("--mode", choices=("min", "max"),
        help="which end is good (default: min for a loss or an error, else max)")  # fmt: skip
    add["table"]("--format", choices=("text", "markdown", "csv"), default="markdown")
    add["table"]("--metric", nargs="+", action="extend", default=[], metavar="KEY",
        help="columns (default: the monitored one, accuracy, F1 and loss of the test)")  # fmt: skip
    add["clean"]("--keep", type=int, default=3, metavar="N",
        help="the best N of each data set keep their checkpoints (default 3)")  # fmt: skip
    add["clean"]("--yes", action="store_true", help="remove; without it nothing is touched")
    return parser


def _verb(verbs: Any, name: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=VERBS[name], description=VERBS[name]
    )
    parser.add_argument("--root", default="outputs", metavar="FOLDER",
        help="where the runs lie (default outputs)")  # fmt: skip
    return parser


def _found(options: argparse.Namespace) -> list[Run]:
    """The runs asked for; folders that are none are told of."""
    runs, skipped = find(Path(options.root))
    _tell_skipped(skipped)
    return filtered(runs, conditions(options.where))


def _tell_skipped(skipped: Sequence[str]) -> None:
    for line in skipped[:SKIPPED]:
        print(one_line(f"skipped {line}"), file=sys.stderr)
    if (rest := len(skipped) - SKIPPED) > 0:
        print(f"skipped {rest:,} more", file=sys.stderr)


# --- list ----------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    if options.limit < 0:
        raise ConfigError(f"--limit: must be at least 0, found {options.limit}")
    runs = _found(options)
    if not runs:
        print("no such run")
        return 0
    runs = ordered(runs, options.sort or "age", option="--sort")
    shown = runs[: options.limit or None]
    extra = [condition.key for condition in conditions(options.where)]
    for line in _lines(shown, [options.sort, *extra] if options.sort else extra):
        print(line)
    if rest := len(runs) - len(shown):
        print(f"and {rest:,} more: --limit 0 shows all")
    return 0


def _lines(runs: Sequence[Run], keys: Sequence[str]) -> list[str]:
    tests = dict.fromkeys(name for run in runs for name in run.metrics if name.startswith("test/"))
    asked = [k for k in keys if k not in SHOWN_FIELDS and not any(k in run.typed for run in runs)]
    columns = list(dict.fromkeys([*asked, *[t for t in tests if t not in asked][:TEST_COLUMNS]]))
    rows = [["run", "status", "age", "best", *map(one_line, columns), "seconds"]]
    for run in runs:
        figures = [_cell(run.value(c), ".4f" if c in tests else ".6g") for c in columns]
        seconds = _cell(run.value("seconds"), ".1f")
        rows.append(
            [
                one_line(short(run.path)),
                run.status,
                _age(run.age),
                _cell(run.best),
                *figures,
                seconds,
            ]
        )
    common = set.intersection(*(set(run.overrides) for run in runs)) if len(runs) > 1 else set()
    typed = ["overrides"] + [" ".join(o for o in r.overrides if o not in common) for r in runs]
    lines = table(rows, indent=0).split("\n")
    joined = [
        f"{line}  {_clipped(one_line(text))}".rstrip()
        for line, text in zip(lines, typed, strict=True)
    ]
    if common:
        joined.append(f"all with {_clipped(one_line(' '.join(sorted(common))))}")
    return joined


def _cell(value: Any, form: str = ".4f") -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        # A learning rate of 0.00003 must not become 0.0000.
        return f"{value:g}" if 0 < abs(value) < 0.001 else f"{value:{form}}"
    return _clipped(one_line(value))


def _age(seconds: float) -> str:
    """``41 s``, ``7 min``, ``3 h`` or ``12 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _clipped(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


# --- show and diff -------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> int:
    folder = pick(Path(options.root), options.run)
    run = read(folder.path)
    facts = [
        ("run", short(run.path)),
        ("status", f"{run.status}, last heard of {_age(run.age)} ago"),
        ("exception", run.result.get("exception")),
        ("best", _said_best(run)),
        *((name, _cell(number, ".6g")) for name in ("seconds", "epochs", "steps")
          if (number := run.value(name)) is not None),
        *_origin(folder),
        ("checkpoints", _checkpoints(folder)),
        ("repeat", shlex.join(["python", "src/train.py", *run.overrides])),
    ]  # fmt: skip
    for name, text in facts:
        if text:
            print(f"{name:<12}{one_line(text)}")
    if run.metrics:
        print("\nmetrics")
        print(table([[one_line(name), _cell(value)] for name, value in run.metrics.items()]))
    return 0


def _said_best(run: Run) -> str:
    if run.best is None:
        return ""
    epoch = run.result["best"].get("epoch")
    return f"{run.monitor} {_cell(run.best)}" + ("" if epoch is None else f" in epoch {epoch}")


def _origin(folder: RunFolder) -> list[tuple[str, Any]]:
    origin = read_provenance(folder.path)
    git = origin.get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    dirty = " with changes" if isinstance(git, dict) and git.get("diff") else ""
    return [("started", origin.get("started")), ("commit", f"{commit}{dirty}" if commit else None)]


def _checkpoints(folder: RunFolder) -> str:
    found = sorted(folder.checkpoints.glob("*.ckpt"))
    return ", ".join(f"{file.name} {_size(file.stat().st_size)}" for file in found)


def _diff(options: argparse.Namespace) -> int:
    from burnish.runs.compare import compared

    root = Path(options.root)
    a, b = pick(root, options.a), pick(root, options.b)
    print(one_line(f"A  {short(a.path)}"))
    print(one_line(f"B  {short(b.path)}"))
    differing = {name: rows for name, rows in compared(a, b).items() if rows}
    for name, rows in differing.items():
        print(f"\n{name}")
        cells = [[_clipped(one_line(cell)) for cell in row] for row in rows]
        print(table([["", "A", "B"], *cells]))
    if not differing:
        print("\nno difference")
    return 0


# --- best and table ------------------------------------------------------------------------------


def _best(options: argparse.Namespace) -> int:
    runs = [run for run in _found(options) if run.status == "finished"]
    runs = [run for run in ordered(runs, options.metric, option="--metric")
            if isinstance(run.value(options.metric), float)]  # fmt: skip
    monitors = {run.monitor for run in runs}
    if options.metric == "best" and len(monitors) > 1:
        named = ", ".join(sorted(map(str, monitors)))
        raise RunError(
            f"--metric: these runs monitor different metrics ({one_line(named)}): name one"
        )
    if not runs:
        print("no such finished run")
        return 1
    run = _first(runs, options)
    metric = run.monitor if options.metric == "best" else options.metric
    print(one_line(f"{metric} {_cell(run.value(options.metric))}, of {len(runs):,} finished runs"))
    print(one_line(short(run.path)))
    print(one_line(f"  repeat  {shlex.join(['python', 'src/train.py', *run.overrides])}"))
    return 0


def _first(runs: Sequence[Run], options: argparse.Namespace) -> Run:
    """The best: first, unless the other end was asked for; ``nan`` is never it."""
    name = (runs[0].monitor or "") if options.metric == "best" else options.metric
    mode = options.mode or ("min" if lower_is_better(name) else "max")
    numbers = [(value, run) for run in runs if (value := run.value(options.metric)) == value]
    if not numbers:
        return runs[0]
    pick_one = min if mode == "min" else max
    return pick_one(numbers, key=lambda pair: float(pair[0] or 0.0))[1]


def _table(options: argparse.Namespace) -> int:
    from burnish.runs.compare import as_csv, markdown, repeats_table

    runs = sorted(_found(options), key=lambda run: run.modified)
    if not runs:
        print("no such run")
        return 1
    rows = repeats_table(runs, options.metric)
    written = {"markdown": markdown, "csv": as_csv, "text": table}[options.format]
    print(written([[one_line(cell) for cell in row] for row in rows]))
    return 0


# --- clean ---------------------------------------------------------------------------------------


def _clean(options: argparse.Namespace) -> int:
    from burnish.runs.cleaning import removable

    if options.keep < 1:
        raise ConfigError(f"--keep: must be at least 1, found {options.keep}")
    found, skipped = removable(_found(options), options.keep)
    _tell_skipped(skipped)
    if not found:
        print("nothing to remove")
        return 0
    rows = [[one_line(short(r.run.path)), r.why, _cell(r.run.best), _size(r.size)] for r in found]
    print(table([["run", "why", "best", "checkpoints"], *rows], indent=0))
    if options.yes:
        for checkpoints in found:
            checkpoints.remove()
    total = sum(r.size for r in found)
    said = "removed" if options.yes else "would remove"
    files = sum(len(r.files) for r in found)
    print(f"{said} {files:,} checkpoints of {len(found):,} runs: {total:,} bytes ({_size(total)})")
    if not options.yes:
        print("nothing was touched: --yes removes them")
    return 0


def _size(count: float) -> str:
    """``1.2 MB``, in powers of 1,000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
