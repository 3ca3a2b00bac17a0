"""ReLUs that are zero for a whole batch: they pass no gradient, and may never wake up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.module_tracker import ModuleTracker

from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Row, Status, Verdict
from burnish.report.figures import bars

# Whatever way a ReLU was written, as a module, a function or in place, it ends in one of these.
ATEN = torch.ops.aten
RECTIFIERS = {
    ATEN.relu.default, ATEN.relu_.default, ATEN.hardtanh.default, ATEN.hardtanh_.default,
    ATEN.clamp.default, ATEN.clamp_min.default, ATEN.threshold.default,
}  # fmt: skip
# Nothing behind such a layer depends on the input, but for shortcuts around it.
DEAD = 0.99
# A wide layer on few inputs has many: 31 % in the default net on 8x8 digits, less elsewhere.
MANY = 0.5


@dataclass(frozen=True)
class Rectified:
    """What one ReLU gave for a batch.

    Args:
        name: of the module that it stands in.
        units: channels or features.
        dead: share of them that are zero for all samples, and at all places.
        zeros: share of all its values that are zero.
    """

    name: str
    units: int
    dead: float
    zeros: float


def check(subject: Subject) -> Verdict:
    """Share of units of every ReLU that are zero for a whole training batch."""
    net = subject.make().net.train()
    tracker = ModuleTracker()
    with torch.no_grad(), tracker, _Watched(tracker, _length(subject.inputs)) as watched:
        net(subject.inputs)
    layers = watched.found
    if not layers:
        return Verdict("dead units", "ok", "the net has no ReLU")
    worst = max(layers, key=lambda layer: layer.dead)
    status, advice = _judge(worst)
    names = [layer.name for layer in layers]
    rows: list[Row] = [
        (layer.name, layer.units, f"{layer.dead:.1%}", f"{layer.zeros:.1%}") for layer in layers
    ]
    return Verdict(
        "dead units",
        status,
        _figure(worst, len(layers)),
        advice,
        {"layers": [{"name": x.name, "dead": x.dead, "zeros": x.zeros} for x in layers]},
        (("ReLU in", "units", "dead", "zeros"), *rows),
        bars("Units that a whole batch leaves at zero", names,
             {"dead": [100 * layer.dead for layer in layers]}, "% of the layer"),
    )  # fmt: skip


def _figure(worst: Rectified, count: int) -> str:
    relus = f"{count} ReLU" + "s" * (count > 1)
    if not worst.dead:
        return f"none in {relus}"
    return f"up to {worst.dead:.1%} of a layer's units ({worst.name}), {relus}"


def _judge(worst: Rectified) -> tuple[Status, str]:
    if worst.dead >= DEAD:
        return "broken", (
            f"{worst.name} gives nothing but zeros: look at initial weights and biases, and at the "
            "scale of the inputs"
        )
    if worst.dead > MANY:
        return (
            "note",
            f"much of {worst.name} does nothing: normalise the inputs, or use a leaky ReLU",
        )
    return "ok", ""


def _length(inputs: Tensor) -> int | None:
    """Tokens of a batch of texts."""
    return None if inputs.is_floating_point() else inputs.shape[1]


class _Watched(TorchDispatchMode):
    """Measures what rectifiers give, while a net runs.

    Args:
        tracker: knows the modules that are running.
        length: L, if the inputs are texts: their features ``[B, L, F]`` stand last, while those of
            convolutions, ``[B, F, ...]``, stand second.
    """

    def __init__(self, tracker: ModuleTracker, length: int | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Rectified] = []
        self._tracker = tracker
        self._length = length

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in RECTIFIERS and result.ndim > 1 and _starts_at_zero(func, args):
            self.found.append(self._measured(result))
        return result

    def _measured(self, values: Tensor) -> Rectified:
        last = values.ndim == 3 and values.shape[1] == self._length
        zero = (values == 0).movedim(-1 if last else 1, 0).flatten(1)
        # The deepest module has the longest name; the net itself goes without its class.
        inside = max(self._tracker.parents, key=len).partition(".")[2] or "the net"
        return Rectified(
            inside, len(zero), float(zero.all(1).double().mean()), float(zero.double().mean())
        )


def _starts_at_zero(func: Any, args: Sequence[Any]) -> bool:
    """Whether it cuts off below zero: a clamp may do so elsewhere."""
    return func in (ATEN.relu.default, ATEN.relu_.default) or args[1:2] in ((0,), [0])
