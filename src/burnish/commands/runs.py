"""runs: what lies under outputs, listed, compared, summed up, drawn and cleaned."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from burnish.commands import (  # fmt: skip
    runs_best,
    runs_clean,
    runs_diff,
    runs_list,
    runs_log,
    runs_plot,
    runs_show,
    runs_table,
)
from burnish.runs.listing import FIELDS

HELP = """\
Look at the runs under outputs: train/*/*, multirun/*/*/* and search/*/*. Only their small files are
read, and nothing but `clean --yes` changes any. A run may be going on meanwhile.

KEY is a metric (test/accuracy), one of {fields}
(age and seconds in seconds, best: of the monitored metric), or a key of the configuration
(optimizer.lr; model is what was typed, else the name of the class). RUN is a folder, or the end of
its path, if that is enough to tell it.

A status is what the run wrote down last: finished, failed, interrupted, pruned or running. One that
wrote "running" is shown as killed if its process is gone from this machine, and as lost? if that
cannot be told: it ran on another machine and was silent for an hour, or did not say where it ran.
The age of a run is the time since it was last heard of.
"""

EXAMPLES = """\
examples:
  burnish runs list --sort test/accuracy --where model=mlp 'test/accuracy>0.9'
  burnish runs list --root outputs/multirun/2026-01-31/12-00-00-1a2b3c --format csv
  burnish runs show outputs/train/2026-01-31/12-00-00-digits-mlp-1a2b3c
  burnish runs diff 1a2b3c 4d5e6f
  burnish runs best --metric test/accuracy --where data=digits
  burnish runs table --format csv
  burnish runs plot 1a2b3c 4d5e6f --metric val/loss train/loss --output curves.png
  burnish runs log --output outputs/log.html
  burnish runs clean --keep 3            says what would go; --yes removes it
"""

VERBS = {
    "list": runs_list,
    "show": runs_show,
    "diff": runs_diff,
    "best": runs_best,
    "table": runs_table,
    "plot": runs_plot,
    "log": runs_log,
    "clean": runs_clean,
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
    run: Callable[[argparse.Namespace], int] = VERBS[options.verb].run
    return run(options)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    text = HELP.format(fields=", ".join(FIELDS))
    parser = argparse.ArgumentParser(
        "burnish runs", description=text, epilog=EXAMPLES, formatter_class=raw
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, module in VERBS.items():
        one = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        one.add_argument(
            "--root", default="outputs", metavar="FOLDER",
            help="where the runs lie: that of all, or of one multirun or search (default outputs)",
        )  # fmt: skip
        module.add_arguments(one)
    return parser
