"""The samples that a report shows, fetched again by their rows, each with what mattered in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.commands.restoring import Restored
from burnish.data.base import DataModule
from burnish.data.images import ImageDataModule
from burnish.data.normalise import resize
from burnish.data.text_table import TextTable
from burnish.errors import ConfigError
from burnish.report.eval_page import Example
from burnish.report.explain import embedding_of, grad_cam, integrated_gradients, last_convolution
from burnish.report.overlays import marked, overlaid
from burnish.report.pictures import LARGEST, sheet
from burnish.report.pieces import pieces
from burnish.report.predictions import Predictions
from burnish.spec import TextSpec

SHOWN = 9  # of each kind: three rows of three on a page
KINDS = ("Most confident mistakes", "Least confident hits")


def examples(
    restored: Restored, split: str, predictions: Predictions, layer: str | None
) -> tuple[dict[str, list[Example]], str]:
    """The most confident mistakes and the least confident hits.

    Args:
        restored: the run; its net stands where explanations shall be computed.
        split: of the samples.
        predictions: of the split.
        layer: for Grad-CAM; None finds one.

    Returns:
        Heading to examples, and a sentence on how they are explained.

    Raises:
        ConfigError: if ``layer`` is given for texts.
        ModelError: if the net has no such layer, or it has no maps.
    """
    chosen = telling(predictions)
    kinds = [kind for kind, places in zip(KINDS, chosen, strict=True) for _ in places]
    places = np.concatenate(chosen)
    shown, explained = _shown(restored, split, predictions, places, layer)
    pairs = [*zip(kinds, shown, strict=True)]
    return {kind: [one for own, one in pairs if own == kind] for kind in KINDS}, explained


def telling(predictions: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the most confident mistakes and of the least confident hits."""
    order = np.argsort(predictions.confidence, kind="stable")
    order = order[predictions.usable[order]]
    right = predictions.right[order]
    return order[~right][::-1][:SHOWN], order[right][:SHOWN]


def check_layer(restored: Restored, split: str, layer: str) -> None:
    """Explain one sample, so that a wrong ``layer`` is said before the pass over all of them.

    Raises:
        ConfigError: if the data is text.
        ModelError: if the net has no such layer, or it has no maps.
    """
    if isinstance(restored.data.spec, TextSpec):
        raise ConfigError("layer: is for Grad-CAM on images; the data of this run is text")
    _, rows = restored.data.splits[split]
    images, labels = restored.data.splits[split][0].__getitems__(rows[:1].tolist())
    grad_cam(restored.module.net, restored.data.preprocess(images), labels, layer)


def _shown(
    restored: Restored,
    split: str,
    predictions: Predictions,
    places: NDArray[np.int64],
    layer: str | None,
) -> tuple[list[Example], str]:
    data, rows = restored.data, predictions.rows[places].tolist()
    captions = [_caption(data, split, predictions, int(place)) for place in places]
    classes = torch.from_numpy(predictions.predicted[places])
    source = data.splits[split][0]
    if not rows:
        return [], ""
    if isinstance(source, TextTable):
        return _texts(restored, source, rows, classes, captions)
    if isinstance(data, ImageDataModule):
        return _images(restored, source.__getitems__(rows)[0], classes, captions, layer)
    return [], "Samples of this kind of data cannot be shown."


def _caption(data: DataModule, split: str, predictions: Predictions, place: int) -> str:
    names = data.spec.class_names
    true, predicted = predictions.targets[place], predictions.predicted[place]
    what = names[true] if true == predicted else f"{names[true]} taken for {names[predicted]}"
    row = int(predictions.rows[place])
    source: Any = data.splits[split][0]
    paths = getattr(source, "paths", None)
    where = f"row {row}" if paths is None else "/".join(Path(paths([row])[0]).parts[-2:])
    return f"{what}, {predictions.confidence[place]:.1%} ({where})"


# --- images --------------------------------------------------------------------------------------


def _images(
    restored: Restored, images: Tensor, classes: Tensor, captions: list[str], layer: str | None
) -> tuple[list[Example], str]:
    data, net = restored.data, restored.module.net.float()
    device = next(net.parameters()).device
    inputs = data.preprocess(images.to(device))
    pixels = _enlarged(resize(images, *inputs.shape[-2:]))
    layer = layer or last_convolution(net, inputs[:1])
    if layer is None:
        return [
            Example(caption, sheet([image[None]]))
            for image, caption in zip(pixels, captions, strict=True)
        ], "No Grad-CAM beside them: the net has no convolution to look into."
    heats = grad_cam(net, inputs, classes.to(device), layer).cpu().numpy()
    shown = [
        Example(caption, sheet([np.stack([_coloured(image), overlaid(image, heat)])]))
        for image, heat, caption in zip(pixels, heats, captions, strict=True)
    ]
    return shown, (
        f"Beside each image its Grad-CAM at {layer}: the warmer a place, the more it spoke for the "
        "predicted class (Selvaraju et al. 2017); where all is grey, no place did at this layer. "
        "layer= chooses another."
    )


def _enlarged(images: Tensor) -> NDArray[np.uint8]:
    """Small images by a whole number, so that the map over them is smooth and all are of a size."""
    factor = -(-LARGEST // max(images.shape[-2:]))
    enlarged: NDArray[np.uint8] = images.cpu().numpy().repeat(factor, 2).repeat(factor, 3)
    return enlarged


def _coloured(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(image, (3, *image.shape[1:]))


# --- texts ---------------------------------------------------------------------------------------


def _texts(
    restored: Restored, table: TextTable, rows: list[int], classes: Tensor, captions: list[str]
) -> tuple[list[Example], str]:
    net = restored.module.net.float()
    ids = table.__getitems__(rows)[0]
    if embedding_of(net) is None:
        scores = np.zeros(ids.shape, dtype=np.float32)
        explained = "Nothing is marked: the net has no embedding of tokens."
    else:
        device = next(net.parameters()).device
        scores = integrated_gradients(net, ids.to(device), classes.to(device)).scores.cpu().numpy()
        explained = (
            "Blue spoke for the predicted class, orange and dotted against it: integrated "
            "gradients from an empty text (Sundararajan et al. 2017), each text on its own scale."
        )
    shown = [
        Example(caption, marks=_marks(restored.data.spec, table, row, own, weights))
        for caption, row, own, weights in zip(captions, rows, ids.tolist(), scores, strict=True)
    ]
    return shown, explained


def _marks(
    spec: Any, table: TextTable, row: int, ids: Sequence[int], scores: NDArray[np.float32]
) -> list[tuple[str, float]]:
    length = int(table.lengths[row])
    parts = marked(pieces(spec, table.texts[row], ids[:length]), scores)
    unseen = int(table.tokens[row]) - length
    return (
        [*parts, (f" … and {unseen:,} tokens that the net does not see", 0.0)] if unseen else parts
    )
