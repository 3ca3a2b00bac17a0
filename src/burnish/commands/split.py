"""split: cut a table or a folder of class folders into train, val and test tables."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.data.classes import sorted_classes
from burnish.data.folder_scan import NAMED, SPLITS, scan
from burnish.data.records import Header, OnError, Records, read_table
from burnish.data.rows import suffix_of
from burnish.data.splits import Indices, apportion
from burnish.errors import ConfigError, DataError
from burnish.runs.console import table as aligned

Column = str | int  # name, or position from 0

HELP = """\
Cut SOURCE into train, val and test tables in the folder OUT, and print the command that uses them.

SOURCE is
  a table     .csv, .tsv, .txt (tabs), .jsonl or .ndjson, also gzipped. Rows are copied as they
              are, every column, into tables of the same format.
  a folder    of class folders with pictures. The tables get the columns image and label; file
              names are relative to SOURCE, and nothing is moved or copied.

Every class is divided in the same proportion, by the seed alone: the same command cuts the same
way on every machine. A class that has fewer samples than there are parts goes to train whole.
"""

EXAMPLES = """\
examples:
  burnish split reviews.csv parts --label-column sentiment
  burnish split photographs parts --test 0.15 --val 0.15
  burnish split lines.tsv parts --label-column 1 --val 0     no header: columns by position from 0
"""


@dataclass(frozen=True)
class Cuttable:
    """A source as rows of text.

    Args:
        labels: of each row.
        rows: source text of each, line end included.
        heading: what every table begins with.
        ending: suffix of the tables.
        usage: command that trains on them, without the paths.
        advice: what to fill in; empty if it is complete.
    """

    labels: Sequence[str]
    rows: Sequence[str]
    heading: str
    ending: str
    usage: Sequence[str]
    advice: str = ""


def main(argv: Sequence[str]) -> int:
    """Run ``burnish split`` with these arguments; returns the exit code 0.

    Raises:
        ConfigError: if an option is out of range.
        DataError: if the source cannot be cut so, or tables are there already.
    """
    options = _parser().parse_args(argv)
    _check(options)
    source, out = Path(options.source), Path(options.out)
    cuttable = _folder(source) if source.is_dir() else _table(source, options)
    names = sorted_classes(cuttable.labels)
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[label] for label in cuttable.labels], dtype=np.int64)
    parts = cut(labels, {"test": options.test, "val": options.val}, options.seed)
    files = {part: out / f"{part}{cuttable.ending}" for part in SPLITS}
    _refuse_overwriting(files.values(), source, options.force)
    _write(cuttable, parts, files)
    print(_overview(labels, parts, names))
    _tell_small(labels, parts, names)
    print(f"\n{out}: {', '.join(files[part].name for part in parts)}; use them with\n")
    given = [f"data.{part}={_quoted(files[part])}" for part in SPLITS if part in parts]
    print("  " + " ".join(map(shlex.quote, ["python", "src/train.py", *cuttable.usage, *given])))
    if cuttable.advice:
        print(f"\n{cuttable.advice}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "burnish split",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="SOURCE", help="table or folder of class folders")
    add("out", metavar="OUT", help="folder for the tables, made if need be")
    add("--test", type=float, default=0.2, metavar="SHARE",
        help="of all rows, in [0, 1); 0: no test table (default 0.2)")  # fmt: skip
    add("--val", type=float, default=0.1, metavar="SHARE",
        help="of all rows; 0: no val table, training cuts its own (default 0.1)")  # fmt: skip
    add("--seed", type=int, default=42, help="decides which rows (default 42)")
    add("--label-column", default="label", metavar="COLUMN",
        help="name, or position from 0 (default label); not for folders")  # fmt: skip
    add("--header", choices=["auto", "true", "false"], default="auto",
        help="whether there is one; auto: if --label-column is a name")  # fmt: skip
    add("--delimiter", metavar="SIGN", help="one character, or tab (default: by the suffix)")
    add("--on-error", choices=["raise", "skip"], default="raise",
        help="useless rows: name them and stop, or leave them out (default raise)")  # fmt: skip
    add("--force", action="store_true",
        help="replace OUT's train, val and test tables if there are any")  # fmt: skip
    return parser


def _check(options: argparse.Namespace) -> None:
    shares = {"--test": options.test, "--val": options.val}
    problems = [
        f"{name}: must be at least 0 and less than 1, found {share}"
        for name, share in shares.items()
        if not 0 <= share < 1
    ]
    total = sum(shares.values())
    if not problems and not 0 < total < 1:
        problems.append(f"--test and --val: must sum to between 0 and 1, found {total:g}")
    if options.seed < 0:
        problems.append(f"--seed: must be at least 0, found {options.seed}")
    if problems:
        raise ConfigError(problems)


# --- what is cut ---------------------------------------------------------------------------------


def _folder(source: Path) -> Cuttable:
    found = scan(source)
    if (source / "train").is_dir():
        raise DataError(
            f"{source}: is cut already, into {', '.join(found.files)}: use it with "
            f"data=image_folder, or cut {source / 'train'} alone"
        )
    pairs = found.files["train"]
    labels = [found.class_names[label] for _, label in pairs]
    names = [path.relative_to(source).as_posix() for path, _ in pairs]
    if strange := [name for name in names if not name.isprintable() or name != name.strip()]:
        raise DataError(f"{source}: a table cannot name the file {strange[0]!r}; rename it")
    for note in found.notes[:-1]:  # the last says that there is no test folder
        print(note)
    rows = [_csv_line(row) for row in zip(names, labels, strict=True)]
    usage = ["data=csv_images", f"data.root={_quoted(source)}"]
    return Cuttable(labels, rows, _csv_line(("image", "label")), ".csv", usage)


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _table(source: Path, options: argparse.Namespace) -> Cuttable:
    column = options.label_column
    label: Column = int(column) if column.isdecimal() else column
    # Which columns the printed command will read shows only in the table. Reading them here too
    # keeps rows out of the parts that the command would then refuse.
    others = _others(_read(source, {"label": label}, options, "skip"), label)
    columns = {**_samples(others), "label": label}
    found = _read(source, columns, options, options.on_error)
    for note in found.notes:
        print(note)
    rows = [row if row.endswith(("\n", "\r")) else row + "\n" for row in found.raw]
    packed = ".gz" if source.suffix.lower() == ".gz" else ""
    usage, advice = _usage(others, source, label, options)
    ending = suffix_of(source) + packed
    return Cuttable(found.columns["label"], rows, found.heading, ending, usage, advice)


def _read(
    source: Path, columns: Mapping[str, Column], options: argparse.Namespace, on_error: OnError
) -> Records:
    header: Header = {"true": True, "false": False}.get(options.header, "auto")
    return read_table(
        source,
        columns,
        header=header,
        delimiter=options.delimiter,
        on_error=on_error,
        option=lambda name: "--" + name.replace("_", "-"),
    )


def _others(found: Records, label: Column) -> list[Column]:
    """All columns but the label's, by name, or by position if they have none."""
    names = found.names or [""] * found.width
    return [name or i for i, name in enumerate(names) if label not in (i, name)]


def _samples(others: Sequence[Column]) -> dict[str, Column]:
    """The column of what is to be classified, by its role; empty if it cannot be known."""
    if "image" in others:
        return {"image": "image"}
    return {"text": others[0]} if len(others) == 1 else {}


def _usage(
    others: Sequence[Column], source: Path, label: Column, options: argparse.Namespace
) -> tuple[list[str], str]:
    """The command for the tables, as far as it can be known, and what to fill in."""
    given = {"label_column": label, "header": options.header, "delimiter": options.delimiter}
    common = {"label_column": "label", "header": "auto", "delimiter": None}
    usage = [f"data.{key}={_quoted(v)}" for key, v in given.items() if v != common[key]]
    samples = _samples(others)
    if "image" in samples:
        return ["data=csv_images", f"data.root={_quoted(source.parent)}", *usage], ""
    usage = ["data=text", *usage]
    if "text" in samples:
        return [*usage, f"data.text_column={_quoted(samples['text'])}"], ""
    advice = f"with the column of the texts after data.text_column=: {', '.join(map(str, others))}"
    return [*usage, "data.text_column="], advice


def _quoted(value: object) -> str:
    """As a value that Hydra reads back unchanged."""
    text = str(value)
    if re.fullmatch(r"[\w./-]+", text, re.ASCII):
        return text
    return '"' + re.sub(r'(\\*)"', r'\1\1\\"', text) + '"'


# --- which row goes where ------------------------------------------------------------------------


def cut(labels: Indices, shares: Mapping[str, float], seed: int) -> dict[str, Indices]:
    """Rows of train and of each part with a share, stratified.

    A part has ``round(share * rows)`` rows. Each gets at least one of every class; a class with
    fewer rows than there are parts stays in train.

    Args:
        labels: class of each row, int64 ``[rows]``.
        shares: part to its share of all rows; 0 leaves the part out.
        seed: decides which.

    Returns:
        Sorted indices, train first.

    Raises:
        DataError: if the rows are too few for the shares.
    """
    sizes = {part: round(share * len(labels)) for part, share in shares.items() if share}
    counts = np.bincount(labels)
    large = np.flatnonzero(counts > len(sizes))
    free = counts[large]
    seats: dict[str, Indices] = {}
    waiting = len(sizes)  # train, and the parts that have not got their rows yet
    for part, size in sizes.items():
        most = free - waiting
        _refuse_too_few(part, size, len(large), int(most.sum()))
        seats[part] = _within(apportion(free, size), 1, most)
        free = free - seats[part]
        waiting -= 1
    rng = np.random.default_rng(seed)
    home = np.zeros(len(labels), dtype=np.int64)  # 0: train
    for i, label in enumerate(large):
        members = rng.permutation(np.flatnonzero(labels == label))
        ends = np.cumsum([seats[part][i] for part in sizes])
        for number, rows in enumerate(np.split(members, ends)[:-1], 1):
            home[rows] = number
    order = {"train": 0, **{part: number for number, part in enumerate(sizes, 1)}}
    return {part: np.flatnonzero(home == order[part]) for part in SPLITS if part in order}


def _within(shares: Indices, low: int, high: Indices) -> Indices:
    """The same number of seats, each class with at least ``low`` and at most ``high`` of them."""
    total = int(shares.sum())
    shares = shares.clip(low, high)
    while (excess := int(shares.sum()) - total) != 0:
        if excess > 0:
            shares[np.argmax(shares)] -= 1
        else:
            shares[np.argmax(high - shares)] += 1
    return shares


def _refuse_too_few(part: str, size: int, least: int, most: int) -> None:
    if not least:
        raise DataError("every class is too small: each part needs at least one row of it")
    if not least <= size <= most:
        raise DataError(
            f"--{part}: {size} rows, but it must have at least {least}, one of each class that is "
            f"large enough to be divided, and at most {most}, for one of each to remain elsewhere"
        )


# --- what is written and said --------------------------------------------------------------------


def _refuse_overwriting(files: Iterable[Path], source: Path, force: bool) -> None:
    there = [file for file in files if file.exists()]
    if any(file.samefile(source) for file in there):
        raise ConfigError(f"OUT: a table of the split would replace {source}; choose another")
    if there and not force:
        named = ", ".join(map(str, there))
        raise ConfigError(f"OUT: there already: {named}; replace them with --force")


def _write(cuttable: Cuttable, parts: Mapping[str, Indices], files: Mapping[str, Path]) -> None:
    for part, file in files.items():
        if part not in parts:
            file.unlink(missing_ok=True)  # of an earlier split: it would overlap with this one
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        content = (cuttable.heading + "".join(cuttable.rows[i] for i in parts[part])).encode()
        partial = file.with_name(file.name + ".partial")
        partial.write_bytes(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)
        partial.replace(file)


def _overview(labels: Indices, parts: Mapping[str, Indices], names: Sequence[str]) -> str:
    """Classes by parts."""
    counts = {part: np.bincount(labels[rows], minlength=len(names)) for part, rows in parts.items()}
    rows = [[name, *(f"{counts[part][i]:,}" for part in parts)] for i, name in enumerate(names)]
    sums = ["all", *(f"{len(rows):,}" for rows in parts.values())]
    return aligned([["class", *parts], *rows, sums])


def _tell_small(labels: Indices, parts: Mapping[str, Indices], names: Sequence[str]) -> None:
    small = np.flatnonzero(np.bincount(labels) < len(parts)).tolist()
    if small:
        named = ", ".join(names[i] for i in small[:NAMED])
        more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
        print(f"\ntoo small to divide, so in train only: {named}{more}")
