"""Architectures of timm (PyTorch Image Models) by name."""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any
from urllib.parse import urlsplit

from torch import nn

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

REACH_SECONDS = 5.0  # to find out that there is no network; the hub's own retries take 45


class Timm(Pretrained):
    """Any architecture of timm (PyTorch Image Models), by name; for any number of channels.

    Arguments and errors: see :class:`burnish.models.pretrained.Pretrained`. ``weights`` may also
    be the tag of one of several published ones: ``model.name=resnet50 model.weights=a1_in1k``.
    """

    library = "timm"

    def _source(self, spec: ImageSpec, name: str, weights: str | None, channels: int) -> Source:
        timm = _import_timm()
        base, _, tag = name.partition(".")
        require_name(base, timm.list_models(), self.library)
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
            raise ModelError(wrong_size(f"timm's {full}", spec, side, error)) from error
        known = (tuple(facts.mean), tuple(facts.std)) if weights and channels == 3 else None
        return Source(model, _identity_name(model), side, known)


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
        f"model.weights: {full} could not be fetched ({first_line(error)}). Get {file} of the "
        f"hub's repository {facts.hf_hub_id} elsewhere, and say where it lies with "
        f"model.weights=null model.weights_file=path/to/{file}"
    )


def _identity_name(model: nn.Module) -> str | None:
    """Where timm's classifier was, if it says so and has one only."""
    name = getattr(model, "pretrained_cfg", {}).get("classifier")
    modules = dict(model.named_modules())
    return name if isinstance(name, str) and isinstance(modules.get(name), nn.Identity) else None
