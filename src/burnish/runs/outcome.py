"""What came of a run, in plain values: nothing else of it outlives it in a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.errors import BurnishError


@dataclass(frozen=True)
class Outcome:
    """What a run tells the sweep that it belongs to.

    Args:
        values: the best value of the monitored metric, then those of further objectives; empty
            if it was never measured.
        pruned: whether it was stopped for falling behind.
        error: why it failed; "" if it did not.
        epochs: trained.
        seconds: that it took.
        refused: whether it failed for its data, which other trials share.
    """

    values: tuple[float, ...] = ()
    pruned: bool = False
    error: str = ""
    epochs: int = 0
    seconds: float = 0.0
    refused: bool = False


def described(error: BaseException) -> str:
    """An exception in one line, its type first if that says more than the text does."""
    text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, BurnishError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
