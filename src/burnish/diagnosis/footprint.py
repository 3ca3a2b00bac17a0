"""How much memory a training step takes: what stays, and the highest point.

On CUDA the allocator is asked. Elsewhere every operation's results are followed from their first
use to their end; what kernels take and give back within one operation is not seen there.
Shapes: B batch, L length.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from burnish.data.loading import Batch
from burnish.diagnosis.steps import Steps, batch_size, seeded
from burnish.diagnosis.subject import Subject

MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """Bytes of one training step that is not the first.

    Args:
        parameters: the net's, and its buffers.
        optimizer: the optimizer's state.
        gradients: once they are complete.
        activations: kept for the backward pass when the forward pass is over, and the batch.
        peak: most of all this, and of what comes and goes in between, that is alive at once.
        course: all that is alive each time that something new is, in order; empty on CUDA.
    """

    parameters: int
    optimizer: int
    gradients: int
    activations: int
    peak: int
    course: tuple[int, ...] = ()


def footprint(
    subject: Subject,
    batches: Sequence[Batch],
    *,
    precision: str = "",
    grad_checkpointing: bool | None = None,
) -> Footprint:
    """Take one training step and measure it.

    Args:
        subject: the run; its device is where the step is taken.
        batches: of one optimizer step; several are accumulated.
        precision: instead of the run's own; see :class:`~burnish.diagnosis.steps.Steps`.
        grad_checkpointing: instead of the net's own, for nets that have it.
    """
    with seeded(subject):
        steps = Steps(subject, precision)
        if grad_checkpointing is not None:
            net: Any = steps.module.net
            net.grad_checkpointing = grad_checkpointing
        steps.make_state()
        gc.collect()
        with _metered(subject.device) as meter:
            activations = 0
            for inputs, targets in batches:
                before = meter.live
                loss = steps.loss(inputs, targets)
                activations = max(activations, meter.live - before)
                steps.backward(loss)
                del loss
            gradients = _size(p.grad for p in steps.module.net.parameters())
            steps.update()
    given = max(_size(batch) for batch in batches)
    net = steps.module.net
    parameters = _size([*net.parameters(), *net.buffers()])
    state = _size(tree_leaves([*steps.optimizer.state.values()]))
    # Accumulated batches lie in memory one after another.
    stays = parameters + state + given
    return Footprint(
        parameters,
        state,
        gradients,
        activations + given,
        stays + meter.peak,
        tuple(stays + live for live in meter.course),
    )


def heaviest(subject: Subject, size: int | None = None) -> Batch:
    """The subject's batch, repeated or cut to a size; texts all as long as the longest of training.

    Args:
        subject: the run.
        size: B; None: as the run trains.
    """
    inputs, targets = subject.inputs, subject.targets
    source, rows = subject.data.splits["train"]
    lengths: Tensor | None = getattr(source, "lengths", None)
    if lengths is not None and not inputs.is_floating_point():
        longest = max(1, int(lengths[rows].max()))
        # No padding: whole texts, whose ids above 0 may be any.
        inputs = _repeated(inputs.clamp(min=1).T, longest).T.contiguous()
    size = size or batch_size(subject)
    return _repeated(inputs, size), _repeated(targets, size)


def _repeated(x: Tensor, size: int) -> Tensor:
    """So many rows of ``x``, from the first on again if there are too few."""
    return x.index_select(0, torch.arange(size, device=x.device) % len(x))


def _size(tensors: Any) -> int:
    """Bytes of the tensors among them."""
    return sum(x.nbytes for x in tensors if isinstance(x, Tensor))


class _Meter(Protocol):
    """Bytes that came to life since its ``with`` block began."""

    @property
    def live(self) -> int:
        """Of them alive now."""

    @property
    def peak(self) -> int:
        """Most of them alive at once."""

    @property
    def course(self) -> list[int]:
        """``live`` each time that it grew, if that is known."""


@contextmanager
def _metered(device: torch.device) -> Iterator[_Meter]:
    if device.type == "cuda":
        yield _Allocator(device)
        return
    with _Followed() as meter:
        yield meter


class _Allocator:
    """Of CUDA, counted from now on."""

    def __init__(self, device: torch.device) -> None:
        self.course: list[int] = []
        self._device = device
        torch.cuda.reset_peak_memory_stats(device)
        self._start = torch.cuda.memory_allocated(device)

    @property
    def live(self) -> int:
        return torch.cuda.memory_allocated(self._device) - self._start

    @property
    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device) - self._start


class _Followed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds a storage's bytes when an operation returns it, takes them off when it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.course: list[int] = []
        self._known: dict[int, weakref.ref[Any]] = {}

    @property
    def peak(self) -> int:
        return max(self.course, default=0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in given:  # a view or an in-place change makes nothing new
                self._add(storage)
        return result

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def freed(_: object) -> None:
            del self._known[key]
            self.live -= size

        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self.course.append(self.live)


def _storages(nested: Any) -> list[Any]:
    return [x.untyped_storage() for x in tree_leaves(nested) if isinstance(x, Tensor)]
