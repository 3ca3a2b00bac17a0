"""An architecture of a library, with its published weights or any others, and a head of our own.

The library's last layer gives way to a ``head`` for the data's classes; all before it is the
``backbone``. :mod:`burnish.models.torchvision_nets` and :mod:`burnish.models.timm_nets` find the
architectures. Shape suffixes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from burnish.errors import ModelError
from burnish.models.checks import require_image
from burnish.models.weights_file import Match, fit_weights, load_weights_file
from burnish.nn.checks import not_fraction, report
from burnish.nn.layers import WeightNormLinear
from burnish.spec import ImageSpec

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]

HEAD_STD = 0.01  # of the first weights of the head: the first predictions are near uniform
REFUSALS = (RuntimeError, ValueError, AssertionError, TypeError)  # of sizes, by libraries


@dataclass(frozen=True)
class Source:
    """An architecture as its library makes it, its last layer replaced by ``nn.Identity``.

    Args:
        backbone: images to features ``[B, F]``.
        classifier: the name of the Identity; None if the library does not say.
        side: height and width in pixels that it was made for, if known.
        normalisation: mean and deviation that its loaded weights expect.
        tensors: weights still to be loaded, under the library's names.
        called: what notes and errors call these weights.
    """

    backbone: nn.Module
    classifier: str | None = None
    side: int | None = None
    normalisation: Normalisation | None = None
    tensors: dict[str, Tensor] | None = None
    called: str = ""


class Pretrained(nn.Module):
    """A backbone from a library, which a subclass looks up there, and a head of our own.

    Grey images are shown to the backbone as three equal channels.

    Args:
        spec: the images and classes.
        name: the architecture, as its library calls it.
        weights: null for random ones, ``DEFAULT``, or the name of published ones. The library
            downloads them unless they are in its cache.
        weights_file: weights from a file instead: see :mod:`burnish.models.weights_file`.
        weights_match: how names of the file are paired with the net's: ``names`` or ``order``.
        head: ``linear`` or ``weight_norm`` (see :class:`burnish.nn.layers.WeightNormLinear`).
        dropout: share of the features dropped before the head, in [0, 1), besides what the
            architecture drops itself.
        normalisation: ``auto`` takes that of named weights, ``data`` keeps the data's.

    Attributes:
        normalisation: mean and deviation per channel of the data, of pixels in [0, 1], that the
            images have to have; None if the data's own will do.
        notes: what a person should know of how the weights were loaded.

    Raises:
        ModelError: if there is no such architecture or there are no such weights, if they cannot
            be fetched or do not fit, or if the architecture does not take images of this form.
        ConfigError: naming the argument under ``model.``.
    """

    library: ClassVar[str]

    def __init__(
        self,
        spec: ImageSpec,
        *,
        name: str = "resnet18",
        weights: str | bool | None = None,
        weights_file: str | None = None,
        weights_match: Match = "names",
        head: Literal["linear", "weight_norm"] = "linear",
        dropout: float = 0.0,
        normalisation: Literal["auto", "data"] = "auto",
    ) -> None:
        super().__init__()
        require_image(f"{self.library}'s {name}", spec)
        report(
            _not_among("model.weights_match", weights_match, ("names", "order")),
            _not_among("model.head", head, ("linear", "weight_norm")),
            _not_among("model.normalisation", normalisation, ("auto", "data")),
            not_fraction("model.dropout", dropout),
            "model.weights_file: give it or model.weights, not both"
            if weights and weights_file
            else None,
        )
        weights = "DEFAULT" if weights is True else weights or None
        self.grey = spec.channels == 1
        source = self._source(spec, name, weights, 3 if self.grey else spec.channels)
        self.backbone = source.backbone
        self.dropout = nn.Dropout(dropout)
        features = _count_features(self, spec, f"{self.library}'s {name}", source.side)
        self.head = _make_head(head, features, spec.num_classes)
        self.notes: list[str] = _fill(self, source, weights_file, weights_match)
        self.normalisation: Normalisation | None = None
        if normalisation == "auto" and source.normalisation:
            self.normalisation = _for_channels(source.normalisation, spec.channels)

    def _source(self, spec: ImageSpec, name: str, weights: str | None, channels: int) -> Source:
        """Look the architecture up in the library and build it."""
        raise NotImplementedError

    def features(self, x_BCHW: Tensor) -> Tensor:
        """What the backbone makes of float images ``[B, C, H, W]``: ``[B, F]``."""
        features_BF: Tensor = self.backbone(x_BCHW.expand(-1, 3, -1, -1) if self.grey else x_BCHW)
        return features_BF

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of float images ``[B, C, H, W]``."""
        logits: Tensor = self.head(self.dropout(self.features(x_BCHW)))
        return logits


def require_name(name: str, names: Iterable[str], library: str) -> None:
    """Refuse an architecture that the library does not know.

    Raises:
        ModelError: with the names that are spelled most like it.
    """
    known = list(names)
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise ModelError(f"model.name: {library} knows no {name!r}{hint}")


def wrong_size(called: str, spec: ImageSpec, side: int | None, error: Exception) -> str:
    """What an error says of an architecture that refused images of the data's size.

    Args:
        called: the architecture, as the message shall call it.
        spec: the data's images.
        side: height and width in pixels that it was made for, if known.
        error: what it said itself.
    """
    made_for = f"; it was made for {side}x{side}: data.image_size={side}" if side else ""
    return (
        f"{called} does not take images of {spec.height}x{spec.width} pixels{made_for} "
        f"({first_line(error)})"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's kind if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _fill(net: Pretrained, source: Source, weights_file: str | None, match: Match) -> list[str]:
    """Load what there is to load, with the head where the library has its classifier."""
    if weights_file is None and source.tensors is None:
        return []
    if source.classifier:
        net.backbone.set_submodule(source.classifier, net.head)
    try:
        if weights_file is not None:
            found = load_weights_file(net.backbone, weights_file, match, source.classifier)
        else:
            assert source.tensors is not None
            found = fit_weights(
                net.backbone, source.tensors, "names", source.classifier, source.called
            )
    finally:
        if source.classifier:
            net.backbone.set_submodule(source.classifier, nn.Identity())
    return found.sentences()


@torch.no_grad()
def _count_features(net: Pretrained, spec: ImageSpec, called: str, side: int | None) -> int:
    """F, found out by showing the backbone two black images of the data's size."""
    images = torch.zeros(2, spec.channels, spec.height, spec.width)
    net.eval()
    try:
        features_BF = net.features(images)
    except REFUSALS as error:
        raise ModelError(wrong_size(called, spec, side, error)) from error
    finally:
        net.train()
    if not isinstance(features_BF, Tensor) or features_BF.ndim != 2:
        raise ModelError(f"{called} does not return one vector an image; choose another model.name")
    return features_BF.shape[1]


@torch.no_grad()
def _make_head(kind: str, features: int, classes: int) -> nn.Module:
    if kind == "weight_norm":
        normed = WeightNormLinear(features, classes)
        normed.gain.fill_(HEAD_STD * math.sqrt(features))  # a row's expected length below
        assert normed.bias is not None
        nn.init.zeros_(normed.bias)
        return normed
    linear = nn.Linear(features, classes)
    nn.init.normal_(linear.weight, std=HEAD_STD)
    nn.init.zeros_(linear.bias)
    return linear


def _not_among(key: str, value: object, choices: Sequence[str]) -> str | None:
    return None if value in choices else f"{key}: must be {' or '.join(choices)}, found {value!r}"


def _for_channels(normalisation: Normalisation, channels: int) -> Normalisation:
    """One value each for grey data: the mean of the three."""
    if channels == len(normalisation[0]):
        return normalisation
    mean, std = (sum(values) / len(values) for values in normalisation)
    return (mean,), (std,)
