"""The pictures below a folder, found while they are asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from burnish.data.folder_scan import extensions
from burnish.deploy.batch.items import Item

NAMED = 5  # endings of files that are left out; the others are counted
LONGEST = 12  # letters of one


def walk(root: str, notes: list[str]) -> Iterator[Item]:
    """Every picture below a folder, in the order of the sorted paths.

    Only the names of the folders on the way are held. Hidden files are passed over, and other
    files by the ends of their names; every folder is entered once, however many links lead to it.

    Args:
        root: the folder; paths begin as it does.
        notes: gets a line if files were left out.

    Yields:
        Pictures; a folder that cannot be read with its error.
    """
    seen: set[tuple[int, int]] = set()
    others: Counter[str] = Counter()
    ways = [iter([root + os.sep])]
    while ways:
        path = next(ways[-1], None)
        if path is None:
            ways.pop()
        elif not path.endswith(os.sep):
            ending = os.path.splitext(path)[1].lower()  # noqa: PTH122
            if ending in extensions():
                yield Item(path, path)
            else:
                others[ending[:LONGEST] or "no ending"] += 1
        else:
            folder = path.rstrip(os.sep) or os.sep
            try:
                ways.append(_entries(folder, seen))
            except OSError as error:
                yield Item(folder, None, error=str(error.strerror))
    if others:
        notes.append(f"{root}: left out {_counted(others)}")


def _counted(others: Counter[str]) -> str:
    files = "1 file that does" if others.total() == 1 else f"{others.total():,} files that do"
    kinds = [f"{count:,} {ending}" for ending, count in others.most_common(NAMED)]
    more = [f"{len(others) - NAMED:,} more endings"] if len(others) > NAMED else []
    return f"{files} not end as pictures do: {', '.join(kinds + more)}"


def _entries(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Paths of what lies in it, sorted; folders end in a separator."""
    status = os.stat(folder)  # noqa: PTH116
    identity = status.st_dev, status.st_ino
    if identity in seen:
        return iter(())
    seen.add(identity)
    with os.scandir(folder) as entries:
        names = sorted(_marked(entry) for entry in entries if not entry.name.startswith("."))
    return (os.path.join(folder, name) for name in names if name)  # noqa: PTH118


def _marked(entry: os.DirEntry[str]) -> str:
    """The name; empty for pipes, sockets and the like, which would be waited for."""
    try:
        if entry.is_dir():
            return entry.name + os.sep
        plain = entry.is_file() or not os.path.exists(entry.path)  # noqa: PTH110
    except OSError:  # links in a circle; said when it is read
        plain = True
    return entry.name if plain else ""
