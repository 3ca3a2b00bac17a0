"""watch: what a service logged, and whether the world has changed since the export."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from burnish.deploy.bundle import read_bundle
from burnish.deploy.watch.summary import Settings, Summary, summarise
from burnish.deploy.watch.words import NO_REFERENCE, told
from burnish.errors import BundleError, ConfigError
from burnish.runs.console import printable

HELP = """\
Look at the predictions that a service logged (burnish serve log=FILE): counts, latency,
confidence, classes, accuracy where people gave feedback (POST /feedback), and drift: whether
confidence, class mix or the inputs themselves differ from the reference that was saved when the
bundle was exported.

Drift is tested in windows of distinct inputs, the newest 20 at most; an input that is sent again
within a window counts once. --alpha bounds the probability of any false alarm in one look, over
all windows and tests together. Only predictions of the bundle's own version count.

exit code     0 compared, no drift found     2 a mistake, or a bundle without a reference
              3 drift                        4 nothing compared: too few predictions of this version
"""

EXAMPLES = """\
examples:
  burnish serve run=RUN log=predictions.sqlite
  burnish watch predictions.sqlite --bundle RUN/export/onnx
  burnish watch predictions.sqlite --bundle RUN/export/onnx --since 1h --json     from cron
  burnish watch predictions.sqlite --bundle RUN/export/onnx --since 7d --html watch.html
"""

DRIFTED, UNTESTED = 3, 4
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SMALLEST_WINDOW = 20  # below, no difference that is not visible anyway is found


def main(argv: Sequence[str]) -> int:
    """Run ``burnish watch`` with these arguments; returns the exit code.

    Returns:
        0 if traffic was compared and is like the reference, 3 on drift, 4 if nothing was compared:
        whoever asks every hour must not take silence for a good sign.

    Raises:
        BundleError: if the bundle cannot be read, or has no reference.
        ConfigError: if an option is out of range.
        DataError: if the file is no prediction log.
    """
    options = _parser().parse_args(argv)
    settings = _settings(options)
    summary = summarise(Path(options.log), read_bundle(_bundle(options.bundle)), settings)
    if options.json:
        print(json.dumps(summary.to_dict(), indent=2))
    else:
        print(printable(told(summary)))
    if options.html:
        _write_page(summary, Path(options.html))
    if summary.reference is None:
        raise BundleError(f"{options.bundle}: {NO_REFERENCE.partition(': ')[2]}")
    if not summary.tested:
        return UNTESTED
    return DRIFTED if summary.drifted else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "burnish watch",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("log", metavar="LOG", help="the file of burnish serve log=FILE")
    add("--bundle", required=True, metavar="BUNDLE",
        help="the folder that was served, or a run with one in export/onnx")  # fmt: skip
    add("--window", type=int, default=500, metavar="N",
        help="distinct inputs that are compared at a time (default 500)")  # fmt: skip
    add("--since", default="24h", metavar="TIME",
        help="look back so far: 90s, 30m, 24h, 7d (default 24h)")  # fmt: skip
    add("--alpha", type=float, default=0.01, metavar="P",
        help="highest probability of a false alarm in one look (default 0.01)")  # fmt: skip
    add("--min-confidence", type=float, default=0.5, metavar="P",
        help="below it a prediction counts as unsure (default 0.5)")  # fmt: skip
    add("--json", action="store_true", help="everything as JSON")
    add("--html", metavar="FILE", help="also write one self-contained page")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    problems = []
    if options.window < SMALLEST_WINDOW:
        problems.append(f"--window: must be at least {SMALLEST_WINDOW}, found {options.window}")
    for name in ("alpha", "min_confidence"):
        if not 0 < getattr(options, name) < 1:
            key = name.replace("_", "-")
            problems.append(f"--{key}: must be between 0 and 1, found {getattr(options, name)}")
    back = re.fullmatch(r"(\d{1,9})([smhd])", options.since)
    if back is None or not int(back[1]):
        problems.append(f"--since: must be like 90s, 30m, 24h or 7d, found {options.since!r}")
    if problems or back is None:
        raise ConfigError(problems)
    seconds = float(int(back[1]) * UNITS[back[2]])
    return Settings(options.window, seconds, options.alpha, options.min_confidence)


def _bundle(location: str) -> Path:
    path = Path(location).expanduser()
    inside = path / "export" / "onnx"
    return inside if (inside / "bundle.json").is_file() else path


def _write_page(summary: Summary, path: Path) -> None:
    from burnish.deploy.watch.page import watch_page
    from burnish.runs.folder import write_atomically

    write_atomically(path, watch_page(summary).html())
