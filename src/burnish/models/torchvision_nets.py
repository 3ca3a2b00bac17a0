"""Image classifiers of torchvision by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from burnish.errors import ModelError
from burnish.models.pretrained import (
    REFUSALS,
    Pretrained,
    Source,
    first_line,
    require_name,
    wrong_size,
)
from burnish.spec import ImageSpec

# torchvision's weights of these expect pixels in [-1, 1]; it converts inside the net, which would
# make a net with weights another function than one without.
INCEPTIONS = ("googlenet", "inception_v3")


class Torchvision(Pretrained):
    """Any image classifier of torchvision, by name; for grey and colour images.

    Arguments and errors: see :class:`burnish.models.pretrained.Pretrained`. Auxiliary classifiers
    are left out.
    """

    library = "torchvision"

    def _source(self, spec: ImageSpec, name: str, weights: str | None, channels: int) -> Source:
        from torchvision import models

        require_name(name, models.list_models(module=models), self.library)
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
            raise ModelError(wrong_size(f"torchvision's {name}", spec, side, error)) from error
        classifier = _last_layer(model)
        model.set_submodule(classifier, nn.Identity())
        if chosen is None:
            return Source(model, classifier, side)
        half = (0.5, 0.5, 0.5)
        known = (half, half) if name in INCEPTIONS else (tuple(preset.mean), tuple(preset.std))
        called = f"model.weights: torchvision's {chosen}"
        return Source(model, classifier, side, known, _fetch(chosen), called)


def _choose(choices: Any, name: str, weights: str) -> Any:
    """The member of torchvision's enumeration; its class name may stand before it."""
    try:
        return choices[weights.rpartition(".")[2]]
    except KeyError:
        raise ModelError(
            f"model.weights: torchvision has no {weights} for {name}, but "
            + ", ".join(choices.__members__)
        ) from None


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


def _last_layer(model: nn.Module) -> str:
    """Name of the layer that yields ImageNet's 1000 classes: linear, in squeezenet a 1x1 conv."""
    names: list[str] = [
        name
        for name, layer in model.named_modules()
        if getattr(layer, "out_features", getattr(layer, "out_channels", None)) == 1000
    ]
    return names[-1]


def _fetch(chosen: Any) -> dict[str, Tensor]:
    """The tensors of published weights, from the cache or the network; nothing is executed."""
    try:
        tensors: dict[str, Tensor] = chosen.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except Exception as error:  # no network, a wrong hash, a damaged or hostile file
        file = Path(urlsplit(chosen.url).path).name
        raise ModelError(
            f"model.weights: {chosen} could not be fetched ({first_line(error)}). Put the file "
            f"{file} into {Path(torch.hub.get_dir()) / 'checkpoints'}, or say where it lies with "
            f"model.weights=null model.weights_file=path/to/{file}"
        ) from error
    # densenet's files are older than its names
    return {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): t for key, t in tensors.items()}
