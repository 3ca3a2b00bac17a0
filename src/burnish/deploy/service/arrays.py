"""Lists of numbers from JSON, looked at before NumPy sees them."""

from __future__ import annotations

from typing import Any


def only_numbers(nested: Any) -> bool:
    """Whether lists hold nothing but numbers, at any depth; booleans are none.

    Of strings NumPy makes an array whose every cell is as wide as the longest: one of 9 MB beside
    a thousand short ones asks for 34 GB.
    """
    level = [nested]
    while level:
        below: list[Any] = []
        for one in level:
            if isinstance(one, list):
                below += one
            elif type(one) not in (int, float):
                return False
        level = below
    return True
