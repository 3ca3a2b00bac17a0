"""Which classes the labels of a table name, and in which order.

Standard library only, as :mod:`burnish.data.records`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from burnish.data.records import Records
from burnish.errors import DataError


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The different labels in order: by value if all are numbers, else by their characters."""
    names = set(labels)
    try:
        values = {name: float(name) for name in names}
    except ValueError:
        values = {}
    by_value = bool(values) and all(map(math.isfinite, values.values()))
    return tuple(sorted(names, key=lambda n: (values[n], n)) if by_value else sorted(names))


def class_indices(found: Records, class_names: Sequence[str], *, role: str = "label") -> list[int]:
    """The index of each row's label.

    Raises:
        DataError: naming the labels that ``class_names`` lacks and the line of the first.
    """
    index = {name: i for i, name in enumerate(class_names)}
    unknown: dict[str, int] = {}
    for label, line in zip(found.columns[role], found.lines, strict=True):
        if label not in index:
            unknown.setdefault(label, line)
    if unknown:
        named = ", ".join(f"{name} (line {line})" for name, line in list(unknown.items())[:20])
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        raise DataError(f"{found.path}: classes that train does not have: {named}{more}")
    return [index[label] for label in found.columns[role]]
