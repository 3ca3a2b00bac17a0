"""What there is to predict, one thing at a time: all that is held of a million files."""

from __future__ import annotations

from typing import Any, NamedTuple


class Item(NamedTuple):
    """One thing to classify.

    Args:
        name: as it is shown: the path as it was given, or the text.
        content: what ``preprocess.read`` takes; None if there is an error.
        line: of the table or list that it stands in, from 1.
        error: why it cannot be classified.
    """

    name: str
    content: Any
    line: int | None = None
    error: str | None = None
