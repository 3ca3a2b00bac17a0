"""What every optimizer is given: parameter groups and the device's fastest implementation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from burnish.errors import ConfigError
from burnish.nn.checks import not_between, report

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def parameter_groups(
    module: nn.Module,
    weight_decay: float,
    decay_norms_and_biases: bool,
    *,
    lr: float | None = None,
    backbone_lr_scale: float | None = None,
) -> list[dict[str, Any]]:
    """Groups for any ``torch.optim`` optimizer, in the order of ``module.named_parameters()``.

    Norms, biases and all else with fewer than two dimensions set the scale and offset of what is
    learned, not how much of it; pulling them to zero harms more than it regularises (Goyal et al.
    2017, https://arxiv.org/abs/1706.02677, section 5.1). Embeddings are matrices and decay.

    Args:
        module: its trainable parameters are taken, shared ones once, frozen ones never.
        weight_decay: of the group that decays.
        decay_norms_and_biases: put everything into that one group.
        lr: learning rate per optimizer step of the whole, needed by ``backbone_lr_scale``.
        backbone_lr_scale: factor on ``lr`` for everything outside of ``module.head``, at least 0;
            None leaves one rate for all.

    Returns:
        First the group that decays, then the one with ``weight_decay`` 0; empty ones are left out.
        With a scale these two are the head's, and the same two of the backbone follow, with
        ``lr`` of their own. Their names are what LearningRateMonitor logs.

    Raises:
        ConfigError: if no parameter is trainable, or a scale is given for a net without head.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trainable:
        raise ConfigError("model: every parameter is frozen, so there is nothing to train")
    exempt = set() if decay_norms_and_biases else _norm_parameters(module)
    if not decay_norms_and_biases:
        exempt |= {parameter for parameter in trainable if parameter.ndim < 2}
    if backbone_lr_scale is None:
        return _decayed_and_not(trainable, exempt, weight_decay)
    backbone_lr = _scaled(lr, backbone_lr_scale)
    head = set(_head(module).parameters())
    backbone = _decayed_and_not(
        [p for p in trainable if p not in head], exempt, weight_decay, "backbone_"
    )
    return [
        *_decayed_and_not([p for p in trainable if p in head], exempt, weight_decay),
        *({**group, "lr": backbone_lr} for group in backbone),
    ]


def _decayed_and_not(
    parameters: list[nn.Parameter], exempt: set[nn.Parameter], weight_decay: float, prefix: str = ""
) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = [
        {
            "name": f"{prefix}decay",
            "params": [p for p in parameters if p not in exempt],
            "weight_decay": weight_decay,
        },
        {
            "name": f"{prefix}no_decay",
            "params": [p for p in parameters if p in exempt],
            "weight_decay": 0.0,
        },
    ]
    return [group for group in groups if group["params"]]


def _scaled(lr: float | None, scale: float) -> float:
    report(not_between("optimizer.backbone_lr_scale", scale, 0, math.inf))
    if lr is None:
        raise ConfigError("optimizer.backbone_lr_scale: needs optimizer.lr, found null")
    return lr * scale


def _head(module: nn.Module) -> nn.Module:
    head = getattr(module, "head", None)
    if not isinstance(head, nn.Module):
        raise ConfigError(
            "optimizer.backbone_lr_scale: is for nets with a layer named head, and "
            f"{type(module).__name__} has none; set it to null"
        )
    return head


def fused_by_default(fused: bool | None, parameters: Iterable[Tensor]) -> bool | None:
    """What ``fused: null`` of an optimizer's configuration means for these parameters.

    Fused on a CPU, where the steps of SGD, Adam and AdamW on an MLP take 0.56, 0.38 and 0.35 of
    the time (AMD EPYC, one thread, torch 2.14). Elsewhere torch's own choice: on a GPU the
    ``foreach`` kernels are about as fast, and a fused optimizer unscales the gradients of fp16
    training by itself, which rules out gradient clipping.
    """
    if fused is None and all(parameter.device.type == "cpu" for parameter in parameters):
        return True
    return fused


def _norm_parameters(module: nn.Module) -> set[nn.Parameter]:
    """Parameters of norm layers, whose scale may have several dimensions (LayerNorm over H, W)."""
    norms = (layer for layer in module.modules() if isinstance(layer, NORMS))
    return {parameter for norm in norms for parameter in norm.parameters(recurse=False)}
