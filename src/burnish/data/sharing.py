"""What one training has read lies ready for the next one of this process: for sweeps.

Inside :func:`shared` a data module's ``setup`` takes the finished state of an equal module, and
its ``prepare_data`` has nothing to do. Modules are equal if they are of one class, were made in
one working directory, and have equal attributes before ``setup`` looks at its data; attributes
and not constructor arguments, because these are what ``read`` and ``describe`` can see, however
a class of somebody's own stores them.

A class of somebody else's shares if it says so, by a ``for_loaders`` of its own (see
:class:`~burnish.data.base.DataModule`). An attribute that cannot be compared, anything but plain
values, containers of them and burnish's own specs and transforms, means that nothing is shared.

The trainer, the device's copy of a table, the loaders and their workers belong to one module and
are never part of a state: a copy that outlived its trial would take the GPU's memory from the
next net, to save one transfer a trial.
"""

from __future__ import annotations

import functools
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from enum import Enum
from pathlib import PurePath
from types import FunctionType
from typing import Any, ClassVar, Protocol

from torch import Tensor

from burnish.data.loading import Source

State = dict[str, Any]

# Small containers, which somebody may append to: every module gets its own.
COPIED = ("has_test", "class_counts", "val_indices", "fingerprint", "notes")
STATE = ("spec", "splits", *COPIED)
_OURS = __name__.partition(".")[0]


class Shareable(Protocol):
    """What is asked of a data module here."""

    for_loaders: ClassVar[frozenset[str]]
    splits: dict[str, tuple[Source, Tensor]]

    def setup(self, stage: str | None = None) -> None:
        """Finish the state."""


class _Store:
    """Finished states, the least recently used one first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.states: OrderedDict[Hashable, State] = OrderedDict()

    def keep(self, key: Hashable, state: State) -> None:
        self.states[key] = state
        while len(self.states) > self.most:
            self.states.popitem(last=False)


# Of this thread alone: another one's trials neither find nor push out what is kept here.
_open: ContextVar[_Store | None] = ContextVar("_open", default=None)


@contextmanager
def shared(most: int = 2) -> Iterator[None]:
    """Let data modules of equal configuration share what they read, until the block ends.

    Files are taken to stay as they are meanwhile. A block within a block shares with it, and
    under its bound.

    Args:
        most: states that are kept at a time, at least 1; the least recently used one goes.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, found {most}")
    if _open.get() is not None:
        yield
        return
    store = _Store(most)
    token = _open.set(store)
    try:
        yield
    finally:
        _open.reset(token)
        store.states.clear()  # a copied context may still hold the store


def recall(data: Shareable) -> bool:
    """Give a module the state of an equal one; False if there is none."""
    store = _open.get()
    key = None if store is None else _key(data)
    if store is None or key not in store.states:
        return False
    store.states.move_to_end(key)
    vars(data).update(_handed_over(store.states[key]))
    return True


@contextmanager
def keeping(data: Shareable) -> Iterator[None]:
    """Keep the state that the block finishes, if it may be shared and nothing is raised."""
    store = _open.get()
    key = None if store is None else _key(data)
    if store is None or key is None:
        yield
        return
    yield
    store.keep(key, _handed_over(vars(data)))


def unless_at_hand(prepare: Callable[[Any], None]) -> Callable[[Any], None]:
    """A ``prepare_data`` that rests inside :func:`shared` where the data has been read already.

    Lightning calls it again in each fit and test; sums of files are then checked again.
    """

    @functools.wraps(prepare)
    def prepare_data(data: Any) -> None:
        store = _open.get()
        if store is None or not (data.splits or _key(data) in store.states):
            prepare(data)

    return prepare_data


def _handed_over(state: Mapping[str, Any]) -> State:
    """The state in containers of its own; specs and sources are never changed, so not copied."""
    copied = {name: deepcopy(state[name]) for name in COPIED}
    return {"spec": state["spec"], "splits": dict(state["splits"]), **copied}


def _key(data: Shareable) -> Hashable | None:
    """Equal for modules whose ``setup`` finds the same; None: cannot be known."""
    kind = type(data)
    if not (_ours(kind) or "for_loaders" in vars(kind)):
        return None
    ignored = {*STATE, *kind.for_loaders}
    seen = {name: value for name, value in vars(data).items() if name not in ignored}
    try:
        return kind, os.getcwd(), _frozen(seen)  # noqa: PTH109  (relative paths depend on it)
    except (TypeError, RecursionError):
        return None


def _frozen(value: object) -> Hashable:
    """A hashable copy that is equal for equal values only, types included (1 is not True).

    Raises:
        TypeError: if the value may hold more than can be seen.
    """
    kind = type(value)
    if value is None or isinstance(value, str | bytes | int | float | complex | PurePath | Enum):
        return kind, value
    if isinstance(value, list | tuple):
        return kind, tuple(map(_frozen, value))
    if isinstance(value, set | frozenset):
        return kind, frozenset(map(_frozen, value))
    if isinstance(value, dict):
        return kind, tuple((_frozen(name), _frozen(held)) for name, held in value.items())
    if isinstance(value, FunctionType) and _ours(value):
        return value
    if _ours(kind):
        return kind, _frozen(vars(value))
    raise TypeError(f"{kind} cannot be compared")


def _ours(thing: Any) -> bool:
    """Whether a class, function or object is defined in this package."""
    return str(thing.__module__).partition(".")[0] == _OURS
