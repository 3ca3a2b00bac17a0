"""The small files of a run folder, whoever wrote them: read whole, bounded, and never followed."""

from __future__ import annotations

import json
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from burnish.errors import RunError
from burnish.runs.folder import PlainLoader

# A result or a list of overrides takes a few kB; a stranger's file may be anything.
MOST_BYTES = 4_000_000
SHALLOW = 500  # levels of YAML; the fast loader's stack holds tens of thousands

# yaml.CSafeLoader is ten times faster, but not built everywhere.
_FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A key of the first level; and a line that is neither one, nor indented, nor an item of a list.
_KEY = re.compile(r"^(?=[A-Za-z_]\w*:[ \n])", re.MULTILINE)
_ODD_LINE = re.compile(r"^(?![A-Za-z_]\w*:[ \n]| |- |$)", re.MULTILINE)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run, as it is written; interpolations stay text.

    Raises:
        RunError: if it is missing, a link, or no mapping in plain YAML.
    """
    path = folder / "config.yaml"
    text, _ = small_text(path)
    config = _by_parts(path, text)
    if config is None:
        config = plain_yaml(path, text)
    if not isinstance(config, dict):
        raise RunError(f"{folder}: config.yaml holds no mapping")
    return config


def _by_parts(path: Path, text: str) -> dict[str, Any] | None:
    """The keys of the first level read one by one; None if the text is not laid out so simply.

    Most parts are the same in all runs of a folder, so that two thousand configurations take a
    quarter of the time. What is read is not to be changed: runs share it.
    """
    if _ODD_LINE.search(text) or not _is_harmless(text):
        return None
    config: dict[str, Any] = {}
    for part in filter(None, _KEY.split(text)):
        try:
            values = _part(path.name, part)
        except RunError:
            return None
        if not isinstance(values, dict):
            return None
        config |= values
    return config


@lru_cache(4096)
def _part(name: str, text: str) -> Any:
    return plain_yaml(Path(name), text)


def read_provenance(folder: Path) -> dict[str, Any]:
    """Where a run came from; empty if it does not say so readably."""
    return read_mapping(folder / "provenance.json")


def read_mapping(path: Path) -> dict[str, Any]:
    """What a JSON file of a run maps; empty if it is missing or cannot be read as a mapping."""
    try:
        found = json.loads(small_text(path)[0])
    except (RunError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def plain_yaml(path: Path, text: str) -> Any:
    """What a file of a run says in YAML without aliases and tags.

    Args:
        path: of the file, for the error.
        text: its contents.

    Raises:
        RunError: if it is no such YAML.
    """
    try:
        return yaml.load(text, _FAST_LOADER if _is_harmless(text) else PlainLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{path.parent}: {path.name} is not plain YAML") from error


def _is_harmless(text: str) -> bool:
    """Whether the fast loader may read it: it follows aliases, and too deep a text crashes it.

    An alias needs an asterisk; every level takes a bracket, or a column of its own in some line.
    """
    if "*" in text or text.count("[") + text.count("{") > SHALLOW:
        return False
    return max(map(len, text.splitlines()), default=0) <= SHALLOW


def small_text(path: Path) -> tuple[str, float]:
    """A file's text and the time of its last change, in seconds since 1970.

    Raises:
        RunError: if it is missing, a link, a pipe, larger than :data:`MOST_BYTES`, or not UTF-8.
    """
    where = f"{path.parent}: {path.name}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        why = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise RunError(f"{where} {why}") from error
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise RunError(f"{where} is no file")
        if about.st_size > MOST_BYTES:
            raise RunError(f"{where} has {about.st_size:,} bytes, more than any run writes")
        try:
            return file.read(MOST_BYTES).decode(), about.st_mtime
        except UnicodeDecodeError as error:
            raise RunError(f"{where} is not UTF-8") from error
