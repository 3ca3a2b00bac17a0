"""Where values stop being finite: in the batch, the weights, a layer's output or a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

# Values that are NaN or infinite, and the magnitude of the others.
Measure = tuple[int, float]
UNSEEN: Measure = (0, math.nan)


@dataclass
class Layer:
    """One call of a module without children, or of the whole net or its loss.

    Args:
        name: dotted, as in the net's state dict; ``the net's output`` and ``the loss`` at the end.
        kind: class of the module.
        shape: of its output.
        wrong: values of the output that are NaN or infinite.
        largest: magnitude of the finite values of the output.
        fed_wrong: values of the input that are NaN or infinite.
        fed_largest: magnitude of the finite values of the input; NaN where it was not seen.
        gradient_wrong: values of the loss's gradient with respect to the output that are NaN or
            infinite; None where no gradient arrived.
        gradient_largest: magnitude of the finite ones.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    wrong: int
    largest: float
    fed_wrong: int = 0
    fed_largest: float = math.nan
    gradient_wrong: int | None = None
    gradient_largest: float = math.nan


@dataclass(frozen=True)
class Origin:
    """Where values of a training step are not finite first.

    Args:
        kind: of place; ``nowhere`` if everything is finite.
        sentence: the place in words.
        layers: of the batch's way through the net; empty where it did not have to be gone.
    """

    kind: Literal["input", "targets", "weights", "layer", "gradient", "nowhere"]
    sentence: str
    layers: tuple[Layer, ...] = ()

    @property
    def advice(self) -> str:
        """What to do about it, with the override to type."""
        if self.kind in ("input", "targets"):
            return "mend the data, the net is not to blame"
        return "lower optimizer.lr or set trainer.gradient_clip_val=1"


def find_origin(
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    *,
    backward: bool = False,
) -> Origin:
    """Look at the batch, the weights, every layer and, if asked, every gradient, in this order.

    Args:
        net: on the device of the batch.
        loss: of logits ``[B, C]`` and targets.
        inputs: a batch as the net gets it.
        targets: int64 ``[B]`` or float ``[B, C]``.
        backward: whether to run backwards too, and through all layers in any case.
    """
    found = find_before(net, loss, inputs, targets)
    if found is not None and not backward:
        return found
    layers = tuple(trace(net, loss, inputs, targets, backward=backward))
    found = found or _in_layers(layers) or (_in_gradients(net, layers) if backward else None)
    found = found or Origin("nowhere", "everything is finite in a second pass of the batch")
    return Origin(found.kind, found.sentence, layers)


def find_before(net: nn.Module, loss: object, inputs: Tensor, targets: Tensor) -> Origin | None:
    """What is not finite before anything is computed: the batch, or what net and loss keep."""
    return _in_batch(inputs, targets) or _in_weights(net, loss)


def _in_batch(inputs: Tensor, targets: Tensor) -> Origin | None:
    if rows := wrong_rows(inputs):
        return Origin(
            "input",
            f"the input is not finite: {count_wrong(inputs):,} values in sample "
            f"{few([*map(str, rows)])} of the batch, counted from 0",
        )
    if rows := wrong_rows(targets):
        where = few([*map(str, rows)])
        return Origin("targets", f"the targets of sample {where} of the batch are not finite")
    return None


def _in_weights(net: nn.Module, loss: object) -> Origin | None:
    parts = [(net, ""), *([(loss, "loss.")] if isinstance(loss, nn.Module) else [])]
    if names := [prefix + name for part, prefix in parts for name in wrong_parameters(part)]:
        return Origin(
            "weights",
            f"the weights of {few(names)} were not finite before this step: an earlier one broke "
            "them (callbacks.finite.gradients=true and every_n_steps=1 stop there)",
        )
    if names := [prefix + name for part, prefix in parts for name in wrong_buffers(part)]:
        return Origin("weights", f"{few(names)} held NaN before this step")
    return None


def _in_layers(layers: Sequence[Layer]) -> Origin | None:
    for before, layer in pairwise((None, *layers)):
        if layer is not None and layer.wrong:
            return Origin("layer", _of_layer(layer, before))
    return None


def _of_layer(layer: Layer, before: Layer | None) -> str:
    """The layer, or the operation of no module between it and the last one that ran."""
    if layer.fed_wrong:
        where = "before it" if before is None else f"between {before.name} and {layer.name}"
        return f"what enters {layer.name} is not finite: an operation {where}"
    first = f"the first output that is not finite: {layer.name}"
    if not math.isnan(layer.fed_largest):
        return f"{first}, fed values up to {layer.fed_largest:.3g}"
    return first if before is None else f"{first}; the last layer that ran: {before.name}"


def _in_gradients(net: nn.Module, layers: Sequence[Layer]) -> Origin | None:
    """A layer that is given a finite gradient and hands on one that is not."""
    for after, layer in pairwise((None, *reversed(layers))):
        if layer is not None and layer.gradient_wrong:
            name = layer.name if after is None else after.name
            return Origin("gradient", f"the gradients stop being finite going back through {name}")
    if names := wrong_gradients(net):
        return Origin("gradient", f"the gradients of {few(names)} are not finite")
    return None


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))


def wrong_rows(values: Tensor) -> list[int]:
    """Positions in the batch of the samples that hold a NaN or an infinity."""
    wrong = ~values.isfinite()
    return [int(row) for row in wrong.reshape(len(wrong), -1).any(1).nonzero()]


def count_wrong(values: Tensor) -> int:
    """How many values are NaN or infinite; 0 for whole numbers."""
    return int((~values.isfinite()).sum())


def wrong_parameters(net: nn.Module) -> list[str]:
    """Names of the parameters that hold a NaN or an infinity."""
    return [name for name, parameter in net.named_parameters() if count_wrong(parameter.detach())]


def wrong_buffers(net: nn.Module) -> list[str]:
    """Names of the buffers that hold a NaN; an infinity may be meant, in a mask.

    Not the running statistics of a norm in training: it does not use them, and the batch that is
    looked into has moved them.
    """
    return [
        f"{path}.{name}" if path else name
        for path, module in net.named_modules()
        if not (module.training and isinstance(module, _NormBase))
        for name, buffer in module.named_buffers(recurse=False)
        if bool(buffer.isnan().any())
    ]


def wrong_gradients(net: nn.Module) -> list[str]:
    """Names of the parameters whose gradient holds a NaN or an infinity."""
    return [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is not None and count_wrong(parameter.grad)
    ]


def trace(
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    *,
    backward: bool = False,
) -> list[Layer]:
    """Run one batch through net and loss and look at every layer.

    Modes are left as they are; running statistics move, and so do random numbers where the net
    draws any. A compiled net runs uncompiled, whose layers can be watched.

    Args:
        net: on the device of the batch.
        loss: of logits ``[B, C]`` and targets.
        inputs: a batch as the net gets it.
        targets: int64 ``[B]`` or float ``[B, C]``.
        backward: also run backwards, adding to the parameters' gradients.
    """
    layers: list[Layer] = []
    with torch.set_grad_enabled(backward), _watched(net, layers):
        logits = net.forward(inputs)
        _see(layers, "the net's output", net, logits)
        value = loss(logits, targets)
        _see(layers, "the loss", loss, value, _measured(logits))
    if backward and value.requires_grad:
        value.backward()  # type: ignore[no-untyped-call]
    return layers


@contextmanager
def _watched(net: nn.Module, layers: list[Layer]) -> Iterator[None]:
    fed: dict[str, Measure] = {}

    # Before it runs: a layer may work in place.
    def before(name: str, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        fed[name] = _measured((*args, *kwargs.values()))

    def after(name: str, module: nn.Module, _: Any, output: Any) -> None:
        _see(layers, name, module, output, fed.get(name, UNSEEN))

    watched = [(n, m) for n, m in net.named_modules() if n and not any(m.children())]
    handles = []
    for name, module in watched:
        handles.append(module.register_forward_pre_hook(partial(before, name), with_kwargs=True))
        handles.append(module.register_forward_hook(partial(after, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _see(
    layers: list[Layer], name: str, module: object, output: Any, fed: Measure = UNSEEN
) -> None:
    tensors = list(_tensors(output))
    if not tensors:
        return
    layer = Layer(name, type(module).__name__, tuple(tensors[0].shape), *_measured(output), *fed)
    layers.append(layer)
    for tensor in tensors:
        if tensor.requires_grad:
            tensor.register_hook(partial(_see_gradient, layer))  # type: ignore[no-untyped-call]


def _see_gradient(layer: Layer, gradient: Tensor) -> None:
    layer.gradient_wrong = (layer.gradient_wrong or 0) + count_wrong(gradient)
    layer.gradient_largest = max(_largest(gradient), layer.gradient_largest, key=_nan_last)


def _measured(values: Any) -> Measure:
    tensors = [tensor.detach() for tensor in _tensors(values)]
    largest = max(map(_largest, tensors), key=_nan_last, default=math.nan)
    return sum(map(count_wrong, tensors)), largest


def _nan_last(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _largest(values: Tensor) -> float:
    """Magnitude of the finite values; NaN if there are none."""
    values = values.byte() if values.dtype == torch.bool else values  # a mask has no magnitude
    finite = values[values.isfinite()]
    return float(finite.abs().max()) if finite.numel() else math.nan


def _tensors(output: Any) -> Iterable[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)
