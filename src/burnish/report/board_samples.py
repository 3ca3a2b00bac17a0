"""Single samples for TensorBoard: what the net is given, and what it is wrong about."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from burnish.report.board_pictures import pixels, tiles
from burnish.report.board_validation import Mistakes
from burnish.report.board_words import bullets, readable
from burnish.report.data_page import figure_names
from burnish.spec import ImageSpec, Spec

SHOWN = 12


def inputs(writer: SummaryWriter, batch: tuple[Tensor, Tensor], spec: Spec, step: int) -> None:
    """The first of a batch: a picture, or a list of texts.

    Args:
        writer: of TensorBoard.
        batch: as the net gets it, its targets int64 ``[B]`` or mixed float ``[B, K]``.
        spec: of the data.
        step: of the optimizer.
    """
    given, targets = (part[:SHOWN].cpu() for part in batch)
    if isinstance(spec, ImageSpec):
        names = figure_names(spec.class_names)
        captions = [_shares(target, names, "\n") for target in targets]
        picture = tiles("Inputs of the first batch", pixels(given, spec), captions)
        writer.add_image("train/inputs", picture, step, dataformats="HWC")
        return
    rows = [
        (_shares(target, spec.class_names, ", "), readable(ids, spec))
        for target, ids in zip(targets, given, strict=True)
    ]
    writer.add_text("train/inputs", bullets(rows), step)


def _shares(target: Tensor, names: Sequence[str], between: str) -> str:
    """The class of a sample, or the two largest shares of a mixed one."""
    if not target.is_floating_point():
        return names[int(target)]
    shares, classes = target.topk(min(2, len(target)))
    return between.join(
        f"{names[i]} {100 * share:.0f} %"
        for share, i in zip(shares.tolist(), classes.tolist(), strict=True)
        if share > 0
    )


def mistakes(writer: SummaryWriter, found: Mistakes, spec: Spec, step: int) -> None:
    """What a validation found: a picture, or a list of texts.

    Args:
        writer: of TensorBoard.
        found: on the CPU.
        spec: of the data.
        step: of the optimizer.
    """
    if not len(found.truth):
        writer.add_text("validation/mistakes", "none", step)
    elif isinstance(spec, ImageSpec):
        names = figure_names(spec.class_names)
        captions = [
            f"{names[true]}\n→ {names[said]} {100 * sure:.0f} %"
            for true, said, sure in _each(found)
        ]
        picture = tiles("Surest mistakes", pixels(found.inputs, spec), captions)
        writer.add_image("validation/mistakes", picture, step, dataformats="HWC")
    else:
        names = list(spec.class_names)
        rows = [
            (f"{names[true]} → {names[said]} {100 * sure:.0f} %", readable(ids, spec))
            for (true, said, sure), ids in zip(_each(found), found.inputs, strict=True)
        ]
        writer.add_text("validation/mistakes", bullets(rows), step)


def _each(found: Mistakes) -> list[tuple[int, int, float]]:
    columns = found.truth.tolist(), found.said.tolist(), found.sureness.tolist()
    return list(zip(*columns, strict=True))
