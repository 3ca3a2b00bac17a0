"""The net itself for TensorBoard: its graph, and where its last features put samples.

Shapes: N samples, D features.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any, cast

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from burnish.report.board_pictures import pixels
from burnish.report.board_words import LONGEST, one_line, readable
from burnish.report.explain import evaluating, hooked
from burnish.runs.console import say
from burnish.spec import ImageSpec, Spec

SPRITE = 32  # pixels a side of an image in the projector
AT_ONCE = 256  # samples of a pass


def graph(writer: SummaryWriter, net: nn.Module, inputs: Tensor) -> None:
    """The graph of a pass in evaluation mode.

    Args:
        writer: of TensorBoard.
        net: a copy of it is traced, on the CPU and uncompiled.
        inputs: a batch as the net gets it.
    """
    example = inputs[:1].detach().cpu()
    example = example.float() if example.is_floating_point() else example
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of every branch
            writer.add_graph(copy.deepcopy(net).cpu().float().eval(), example)
    except Exception as error:  # not every net can be traced, and no picture is worth a training
        reason = one_line(str(error))[:120]
        say(f"{'note':<12}callbacks.tensorboard.graph: this net cannot be traced: {reason}")


def head_of(net: nn.Module) -> nn.Module | None:
    """The layer that turns features into logits: ``head``, or the last linear one."""
    head = getattr(net, "head", None)
    if isinstance(head, nn.Module):
        return head
    return next((m for m in reversed(list(net.modules())) if isinstance(m, nn.Linear)), None)


def embeddings(writer: SummaryWriter, trainer: pl.Trainer, net: nn.Module, count: int) -> None:
    """What the head reads of validation samples, for the projector; with sprites and labels.

    Args:
        writer: of TensorBoard.
        trainer: whose data module has ``splits``, ``spec`` and ``preprocess``.
        net: on its device.
        count: most samples, spread evenly over the split.
    """
    head, data = head_of(net), cast(Any, trainer).datamodule
    if head is None:
        say(f"{'note':<12}callbacks.tensorboard.embeddings: the net has no last linear layer")
        return
    features, labels, images = [], [], []
    for inputs, classes in samples(data, count, next(net.parameters()).device):
        features.append(_read_by(head, net, inputs, trainer))
        labels += described(inputs, classes, data.spec)
        if isinstance(data.spec, ImageSpec):
            images.append(_sprites(inputs, data.spec))
    heading = ["class"] if images else ["class", "text"]
    writer.add_embedding(
        torch.cat(features),
        labels if len(heading) > 1 else [label for (label,) in labels],
        torch.cat(images) if images else None,
        trainer.global_step,
        "features",
        heading if len(heading) > 1 else None,
    )


def samples(data: Any, count: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Validation samples, ready for the net, and their classes, int64 ``[N]``.

    They come from the source itself: a loader would give those of one length, or of one folder.
    """
    source, rows = data.splits["val"]
    chosen = torch.linspace(0, len(rows) - 1, min(count, len(rows))).round().long()
    for part in rows[chosen.to(rows.device)].split(AT_ONCE):
        inputs, classes = source.__getitems__(part.tolist())
        yield data.preprocess(inputs.to(device)), classes


def described(inputs: Tensor, classes: Tensor, spec: Spec) -> list[list[str]]:
    """Columns of the projector's table: the class, and of a text its words."""
    names = [one_line(spec.class_names[i]) for i in classes.tolist()]
    if isinstance(spec, ImageSpec):
        return [[name] for name in names]
    words = [one_line(readable(ids, spec))[:LONGEST] for ids in inputs]
    return [[name, text] for name, text in zip(names, words, strict=True)]


def _read_by(head: nn.Module, net: nn.Module, inputs: Tensor, trainer: pl.Trainer) -> Tensor:
    """float32 ``[N, D]`` on the CPU."""
    read: list[Tensor] = []

    def note(_head: nn.Module, given: tuple[Tensor, ...], _output: Tensor) -> None:
        read.append(given[0].detach().flatten(1).float().cpu())

    precision = trainer.precision_plugin.forward_context()
    with evaluating(net), torch.no_grad(), hooked({head: note}), precision:
        net.forward(inputs)
    return read[-1]


def _sprites(inputs: Tensor, spec: ImageSpec) -> Tensor:
    """Squares, float32 in [0, 1]: the writer cannot place others."""
    images = torch.from_numpy(pixels(inputs, spec)).float() / 255
    side = min(SPRITE, max(images.shape[2:]))
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
