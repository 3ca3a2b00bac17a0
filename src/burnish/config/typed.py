"""What was typed, taken apart: the program, its flags, the overrides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def config_dirs(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The folders after ``--config-dir``, and the words without it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    known, rest = parser.parse_known_args([*words])
    return ([Path(known.config_dir)] if known.config_dir else []), rest


def program(argv: Sequence[str]) -> list[str]:
    """A command line up to its overrides, without ``-m``."""
    start = [*argv[: 1 if argv[0].endswith(".py") else 2]]
    dirs, _ = config_dirs(argv)
    return [*start, *(word for path in dirs for word in ("--config-dir", str(path)))]
