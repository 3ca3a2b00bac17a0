"""What becomes of a sample on its way through the net, layer by layer.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Row, Status, Verdict

PAIR = 2  # samples: some nets squeeze a batch of one


@dataclass(frozen=True)
class Layer:
    """A module without children, as a sample passed it.

    Args:
        name: dotted, within the net.
        kind: its class.
        shape: of its output without the batch, () if it gives no tensor.
        parameters: of its own.
        flops: of one sample, 2 a multiplication with its addition.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    flops: int


def check(subject: Subject) -> Verdict:
    """Output shape, parameters and FLOPs of every layer, and whether the last one fits the classes.

    FLOPs are those of convolutions, matrix products, attention and recurrent layers, two a
    multiplication with its addition; the rest is cheap.
    """
    net = subject.make().net.eval()
    inputs = subject.inputs[:PAIR]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _recorded(net) as passed, counter:
        output: Any = net(inputs)
    flops = {str(name): sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    layers = [*_layers(net, passed, flops, len(inputs))]
    counted = {name.partition(".")[2] or name for name in flops}
    total, trained = _parameters(net)
    fused = sum(layer.flops for layer in layers if layer.name not in counted)
    spent = counter.get_total_flops() // len(inputs) + fused
    classes = subject.data.spec.num_classes
    status, advice = _judge(output, len(inputs), classes)
    given = _said(_shape(output))
    return Verdict(
        "shapes",
        status,
        f"{_said(inputs.shape[1:])} to {given}; {len(layers)} layers, {total:,} parameters, "
        f"{_large(spent)} FLOPs a sample",
        advice,
        {"parameters": total, "trained": trained, "flops": spent, "output": [*_shape(output)]},
        (("layer", "kind", "output", "parameters", "FLOPs"), *map(_row, layers)),
    )


def _judge(output: Any, size: int, classes: int) -> tuple[Status, str]:
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != size:
        found = f"{_said(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        return "broken", f"a net returns logits [batch, {classes}]; for {size} samples: {found}"
    if output.shape[1] < classes:
        return "broken", f"{output.shape[1]} outputs cannot name {classes} classes"
    if output.shape[1] > classes:
        return "note", f"{output.shape[1]} outputs for {classes} classes: take spec.num_classes"
    return "ok", ""


@contextmanager
def _recorded(net: nn.Module) -> Iterator[dict[nn.Module, tuple[int, ...]]]:
    """The shapes that modules without children give, in the order of their first call."""
    passed: dict[nn.Module, tuple[int, ...]] = {}

    def hook(module: nn.Module, _: Any, output: Any) -> None:
        passed.setdefault(module, _shape(output))

    with ExitStack() as stack:
        for module in net.modules():
            if not [*module.children()]:
                stack.callback(module.register_forward_hook(hook).remove)
        yield passed


def _shape(output: Any) -> tuple[int, ...]:
    """Without the batch; of several tensors (an LSTM's, say) the first."""
    first = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
    return () if first is None else tuple(first.shape[1:])


def _layers(
    net: nn.Module,
    passed: dict[nn.Module, tuple[int, ...]],
    flops: dict[str, int],
    size: int,
) -> Iterator[Layer]:
    names = {module: name for name, module in net.named_modules()}
    root = type(net).__name__
    for module, shape in passed.items():
        name = names[module]
        own = sum(parameter.numel() for parameter in module.parameters())
        spent = flops.get(f"{root}.{name}" if name else root, 0) // size
        if isinstance(module, nn.RNNBase) and not spent:
            spent = _recurrent(module, shape)
        yield Layer(name or root, type(module).__name__, shape, own, spent)


def _recurrent(module: nn.RNNBase, shape: tuple[int, ...]) -> int:
    """Each token meets every weight matrix once; torch's counter leaves fused kernels out."""
    return 2 * shape[0] * sum(p.numel() for p in module.parameters() if p.ndim > 1)


def _parameters(net: nn.Module) -> tuple[int, int]:
    parameters = [*net.parameters()]
    return (
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )


def _row(layer: Layer) -> Row:
    return layer.name, layer.kind, _said(layer.shape), layer.parameters, layer.flops


def _said(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "nothing"


def _large(number: float) -> str:
    """``1.2 G`` for 1,234,567,890."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"
