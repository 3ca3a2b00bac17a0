"""Losses that torch does not bring.

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.errors import ConfigError
from burnish.nn.checks import not_between, report

Reduction = Literal["mean", "sum", "none"]


class FocalLoss(nn.Module):
    r"""Cross entropy in which easy examples weigh less: softmax focal loss for many classes.

    With class probabilities p and targets y it is
    :math:`-\sum_c \alpha_c y_c (1 - p_c)^\gamma \log p_c`, which for a class index t is
    :math:`-\alpha_t (1 - p_t)^\gamma \log p_t`. At gamma 0 without alpha it is cross entropy.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection",
    https://arxiv.org/abs/1708.02002 (there for two classes and a sigmoid).

    Args:
        gamma: how strongly easy examples are turned down; at least 0, not necessarily whole.
        alpha: weights of the classes, one each; a single number scales all classes alike.
        reduction: ``mean`` over the batch (divided by B whatever alpha is, unlike
            ``CrossEntropyLoss(weight=...)``), ``sum`` or ``none``.

    Raises:
        ConfigError: naming ``loss.gamma``, ``loss.alpha`` or ``loss.reduction``.
    """

    alpha: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        report(
            not_between("loss.gamma", gamma, 0, float("inf")),
            *_alpha_problems(alpha),
            None
            if reduction in ("mean", "sum", "none")
            else f"loss.reduction: must be mean, sum or none, found {reduction!r}",
        )
        self.gamma = gamma
        self.reduction = reduction
        weights = None if alpha is None else torch.tensor(alpha, dtype=torch.float32).flatten()
        # Not persistent: it comes from the configuration, and checkpoints stay interchangeable.
        self.register_buffer("alpha", weights, persistent=False)

    def forward(self, logits_BC: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits_BC: float ``[B, C]``.
            labels: class indices, int64 ``[B]``, or soft labels, float ``[B, C]``.

        Returns:
            A scalar, or ``[B]`` for reduction ``none``.

        Raises:
            ConfigError: if ``loss.alpha`` does not have one weight a class.
            ValueError: if shapes or dtypes are others than these.
        """
        _check_shapes(logits_BC, labels)
        log_p_BC = F.log_softmax(logits_BC, dim=1)
        if labels.is_floating_point():
            loss_B = (labels * self._per_class(log_p_BC)).sum(dim=1)
        else:
            loss_B = self._per_class(log_p_BC).gather(1, labels[:, None]).squeeze(1)
        if self.reduction == "none":
            return loss_B
        return loss_B.mean() if self.reduction == "mean" else loss_B.sum()

    def _per_class(self, log_p_BC: Tensor) -> Tensor:
        """What an example would cost were it of class c: ``[B, C]``."""
        # expm1 keeps 1 - p exact near p = 1; the floor keeps the power's slope finite at gamma < 1
        floor = torch.finfo(log_p_BC.dtype).tiny
        miss_BC = (-torch.expm1(log_p_BC)).clamp_min(floor)
        loss_BC = -(miss_BC**self.gamma) * log_p_BC
        if self.alpha is None:
            return loss_BC
        classes = log_p_BC.shape[1]
        if self.alpha.numel() not in (1, classes):
            raise ConfigError(
                f"loss.alpha: needs one weight for each of the {classes} classes, "
                f"found {self.alpha.numel()}"
            )
        return loss_BC * self.alpha.to(loss_BC.dtype)

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        alpha = None if self.alpha is None else self.alpha.tolist()
        return f"gamma={self.gamma}, alpha={alpha}, reduction={self.reduction!r}"


class MeanOverSamples(nn.Module):
    """The mean of a loss over the samples of a batch, whatever their weights.

    torch's weighted losses divide by the sum of the weights in a batch, so that a figure depends
    on how samples are gathered into batches, and at batch size 1 not on the weights at all.

    Args:
        loss: of one value a sample, ``[B]``.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits_BC: Tensor, labels: Tensor) -> Tensor:
        """A scalar."""
        mean: Tensor = self.loss(logits_BC, labels).mean()
        return mean


def _alpha_problems(alpha: float | Sequence[float] | None) -> list[str | None]:
    if alpha is None:
        return []
    if not isinstance(alpha, Sequence):
        return [not_between("loss.alpha", alpha, 0, float("inf"))]
    if not alpha:
        return ["loss.alpha: must have one weight a class, found none"]
    return [not_between(f"loss.alpha[{i}]", w, 0, float("inf")) for i, w in enumerate(alpha)]


def _check_shapes(logits_BC: Tensor, labels: Tensor) -> None:
    if logits_BC.ndim != 2:
        raise ValueError(f"logits must be [B, C], found shape {list(logits_BC.shape)}")
    indices = labels.dtype == torch.int64 and labels.shape == logits_BC.shape[:1]
    soft = labels.is_floating_point() and labels.shape == logits_BC.shape
    if not (indices or soft):
        raise ValueError(
            f"labels must be int64 [B] or float [B, C] for logits {list(logits_BC.shape)}, "
            f"found {labels.dtype} {list(labels.shape)}"
        )


def class_weights(
    asked: Literal["none", "balanced"] | Sequence[float] | None, counts: Sequence[int]
) -> list[float] | None:
    """One weight a class, or None.

    Args:
        asked: ``none``, ``balanced`` or the weights themselves.
        counts: training samples of each class; a class without any weighs nothing.

    Raises:
        ConfigError: for a list of another length.
    """
    if asked in (None, "none"):
        return None
    if asked == "balanced":
        present = sum(count > 0 for count in counts)
        return [sum(counts) / (present * count) if count else 0.0 for count in counts]
    if isinstance(asked, str) or len(asked) != len(counts) or not any(asked):
        raise ConfigError(
            f"loss.class_weights: must be none, balanced or a list with one weight for each of "
            f"the {len(counts)} classes, not all 0, found {asked!r}"
        )
    return [float(weight) for weight in asked]
