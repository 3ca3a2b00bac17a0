"""Architectures of torchvision and timm by name, with their published weights or any others.

The library's last layer gives way to a ``head`` for the data's classes; all before it is the
``backbone``. Shape suffixes: B batch, C channels, H height, W width, F features.
"""

from __future__ import annotations

import difflib
import importlib
import math
import os
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

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
REACH_SECONDS = 5.0  # to find out that there is no network; the hub's own retries take 45
REFUSALS = (RuntimeError, ValueError, AssertionError, TypeError)  # of sizes, by libraries
# torchvision's weights of these expect pixels in [-1, 1]; it converts inside the net, which would
# make a net with weights another function than one without.
INCEPTIONS = ("googlenet", "inception_v3")


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
    """A backbone from a library and a head of our own; use :class:`Torchvision` or :class:`Timm`.

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


class Torchvision(Pretrained):
    """Any image classifier of torchvision, by name; for grey and colour images.

    Arguments and errors: see :class:`Pretrained`. Auxiliary classifiers are left out.
    """

    library = "torchvision"

    def _source(self, spec: ImageSpec, name: str, weights: str | None, channels: int) -> Source:
        from torchvision import models

        _require_name(name, models.list_models(module=models), self.library)
        if channels != 3:
            raise ModelError(
                f"torchvision's {name} takes images of 1 or 3 channels, found {channels}: "
                "model=timm takes any number"
            )
        choices = models.get_model_weights(name)
        chosen = _choose(choices, name, weights) if weights else None
        preset = (chosen or choices.DEFAULT).transforms()
        side = int(preset.crop_size[0])
        try:
            model = models.get_model(name, weights=None, **_special_options(name, spec, chosen))
        except REFUSALS as error:
            raise ModelError(_wrong_size(f"torchvision's {name}", spec, side, error)) from error
        classifier = _last_layer(model)
        model.set_submodule(classifier, nn.Identity())
        if chosen is None:
            return Source(model, classifier, side)
        half = (0.5, 0.5, 0.5)
        known = (half, half) if name in INCEPTIONS else (tuple(preset.mean), tuple(preset.std))
        called = f"model.weights: torchvision's {chosen}"
        return Source(model, classifier, side, known, _fetch(chosen), called)


class Timm(Pretrained):
    """Any architecture of timm (PyTorch Image Models), by name; for any number of channels.

    Arguments and errors: see :class:`Pretrained`. ``weights`` may also be the tag of one of
    several published ones: ``model.name=resnet50 model.weights=a1_in1k``.
    """

    library = "timm"

    def _source(self, spec: ImageSpec, name: str, weights: str | None, channels: int) -> Source:
        timm = _import_timm()
        base, _, tag = name.partition(".")
        _require_name(base, timm.list_models(), self.library)
        tag = weights if weights and weights != "DEFAULT" else tag
        full = f"{base}.{tag}" if tag else base
        published = [each.rpartition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
        if tag and tag not in published:
            raise ModelError(
                f"model.weights: timm has no {tag} for {base}, but {', '.join(published)}"
            )
        facts = timm.get_pretrained_cfg(full)
        options: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
        if weights:
            options |= {"pretrained": True, "pretrained_cfg_overlay": _from_cache(facts, full)}
        elif facts is not None and facts.fixed_input_size:
            options["img_size"] = (spec.height, spec.width)
        side = facts.input_size[-1] if facts is not None else None
        try:
            model = timm.create_model(full, **options)
        except OSError as error:
            raise ModelError(_unreachable_hub(facts, full, error)) from error
        except REFUSALS as error:
            raise ModelError(_wrong_size(f"timm's {full}", spec, side, error)) from error
        known = (tuple(facts.mean), tuple(facts.std)) if weights and channels == 3 else None
        return Source(model, _identity_name(model), side, known)


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
        raise ModelError(_wrong_size(called, spec, side, error)) from error
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


def _last_layer(model: nn.Module) -> str:
    """Name of the layer that yields ImageNet's 1000 classes: linear, in squeezenet a 1x1 conv."""
    names: list[str] = [
        name
        for name, layer in model.named_modules()
        if getattr(layer, "out_features", getattr(layer, "out_channels", None)) == 1000
    ]
    return names[-1]


def _identity_name(model: nn.Module) -> str | None:
    """Where timm's classifier was, if it says so and has one only."""
    name = getattr(model, "pretrained_cfg", {}).get("classifier")
    modules = dict(model.named_modules())
    return name if isinstance(name, str) and isinstance(modules.get(name), nn.Identity) else None


def _special_options(name: str, spec: ImageSpec, chosen: Any) -> dict[str, Any]:
    """Arguments that some architectures need; a transformer has as many positions as patches."""
    side = (spec.height, spec.width) if chosen is None else chosen.meta["min_size"]
    if name.startswith("vit_"):
        return {"image_size": side[0]}
    if name.startswith("maxvit"):
        return {"input_size": tuple(side)}
    if name in INCEPTIONS:  # its own slow initialisation is of use without weights only
        return {"aux_logits": False, "init_weights": chosen is None}
    return {}


def _choose(choices: Any, name: str, weights: str) -> Any:
    """The member of torchvision's enumeration; its class name may stand before it."""
    try:
        return choices[weights.rpartition(".")[2]]
    except KeyError:
        raise ModelError(
            f"model.weights: torchvision has no {weights} for {name}, but "
            + ", ".join(choices.__members__)
        ) from None


def _fetch(chosen: Any) -> dict[str, Tensor]:
    """The tensors of published weights, from the cache or the network; nothing is executed."""
    try:
        tensors: dict[str, Tensor] = chosen.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except Exception as error:  # no network, a wrong hash, a damaged or hostile file
        file = Path(urlsplit(chosen.url).path).name
        raise ModelError(
            f"model.weights: {chosen} could not be fetched ({_first(error)}). Put the file {file} "
            f"into {Path(torch.hub.get_dir()) / 'checkpoints'}, or say where it lies with "
            f"model.weights=null model.weights_file=path/to/{file}"
        ) from error
    # densenet's files are older than its names
    return {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): t for key, t in tensors.items()}


def _import_timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise ModelError("model=timm needs timm: pip install 'burnish[timm]'") from error


def _from_cache(facts: Any, full: str) -> dict[str, Any]:
    """Point timm at the cached file, so that it does not ask the network first.

    Raises:
        ModelError: if the file is not there and neither is a network.
    """
    if facts is None or not facts.has_weights:
        raise ModelError(f"model.weights: timm has no published weights for {full}")
    if not facts.hf_hub_id:
        return {}
    hub = importlib.import_module("huggingface_hub")
    repository, _, revision = facts.hf_hub_id.partition("@")
    file = facts.hf_hub_filename or "model.safetensors"
    cached = hub.try_to_load_from_cache(repository, file, revision=revision or None)
    if isinstance(cached, str):
        return {"file": cached}
    try:
        _reach(hub.constants.ENDPOINT)
    except OSError as error:
        raise ModelError(_unreachable_hub(facts, full, error)) from error
    return {}


def _reach(address: str) -> None:
    """Raise OSError if nobody answers there; behind a proxy that cannot be told."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return
    parts = urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    socket.create_connection((parts.hostname or "", port), timeout=REACH_SECONDS).close()


def _unreachable_hub(facts: Any, full: str, error: Exception) -> str:
    file = facts.hf_hub_filename or "model.safetensors"
    return (
        f"model.weights: {full} could not be fetched ({_first(error)}). Get {file} of the hub's "
        f"repository {facts.hf_hub_id} elsewhere, and say where it lies with "
        f"model.weights=null model.weights_file=path/to/{file}"
    )


def _wrong_size(called: str, spec: ImageSpec, side: int | None, error: Exception) -> str:
    made_for = f"; it was made for {side}x{side}: data.image_size={side}" if side else ""
    return (
        f"{called} does not take images of {spec.height}x{spec.width} pixels{made_for} "
        f"({_first(error)})"
    )


def _require_name(name: str, names: Iterable[str], library: str) -> None:
    known = list(names)
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise ModelError(f"model.name: {library} knows no {name!r}{hint}")


def _not_among(key: str, value: object, choices: Sequence[str]) -> str | None:
    return None if value in choices else f"{key}: must be {' or '.join(choices)}, found {value!r}"


def _for_channels(normalisation: Normalisation, channels: int) -> Normalisation:
    """One value each for grey data: the mean of the three."""
    if channels == len(normalisation[0]):
        return normalisation
    mean, std = (sum(values) / len(values) for values in normalisation)
    return (mean,), (std,)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
