"""Items read in threads, a bounded number ahead of the net, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from burnish.deploy.batch.items import Item
from burnish.errors import DataError

CHUNK = 16  # items a task: a task costs as much as half a small PNG, and a batch has several

Element = TypeVar("Element")


class Ready(NamedTuple):
    """An item, read.

    Args:
        item: what was read; with its error if it could not be.
        value: what ``preprocess.batch`` takes; None if there is an error.
    """

    item: Item
    value: Any


def read_ahead(
    items: Iterable[Item], read: Callable[[Any], Any], threads: int, ahead: int
) -> Iterator[Ready]:
    """Read items in threads.

    Args:
        items: asked for one after another, in this thread.
        read: of a preprocessing; Pillow decodes without holding the interpreter.
        threads: 0 reads in this thread.
        ahead: items read or being read that were not asked for yet, roughly.
    """

    def all_of(chunk: Sequence[Item]) -> list[Ready]:
        return [_read(item, read) for item in chunk]

    chunks = batches(items, CHUNK)
    if not threads:
        for chunk in chunks:
            yield from all_of(chunk)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        tasks: deque[Future[list[Ready]]] = deque()
        most = threads + -(-ahead // CHUNK)
        tasks.extend(pool.submit(all_of, chunk) for chunk in islice(chunks, most))
        while tasks:
            done = tasks.popleft().result()
            tasks.extend(pool.submit(all_of, chunk) for chunk in islice(chunks, 1))
            yield from done
    finally:
        pool.shutdown(cancel_futures=True)


def batches(items: Iterable[Element], size: int) -> Iterator[list[Element]]:
    """Lists of ``size`` elements; the last may be shorter."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _read(item: Item, read: Callable[[Any], Any]) -> Ready:
    if item.error is not None:
        return Ready(item, None)
    try:
        return Ready(item, read(item.content))
    except DataError as error:
        # The name stands beside the error already.
        what = str(error).removeprefix(f"{item.content}: ")
        return Ready(item._replace(content=None, error=what), None)
