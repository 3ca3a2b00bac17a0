"""Losses between predicted and true boxes, for detectors.

A box is ``[x1, y1, x2, y2]`` with x1 <= x2 and y1 <= y2, in pixels or any other unit. Boxes are
compared pair by pair: row n of the one with row n of the other. Shape suffixes: N boxes, 4 corners.
"""

from __future__ import annotations

from torch import Tensor, nn

from burnish.nn.checks import report
from burnish.nn.losses import Reduction

EPS = 1e-7  # keeps the quotients of boxes without area finite; that of torchvision's losses


class _BoxLoss(nn.Module):
    """What the losses share: the form of their input and how they sum up.

    Args:
        reduction: ``mean`` over the boxes (0 if there are none), ``sum`` or ``none``.

    Raises:
        ConfigError: naming ``loss.reduction``.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        report(
            None
            if reduction in ("mean", "sum", "none")
            else f"loss.reduction: must be mean, sum or none, found {reduction!r}"
        )
        self.reduction = reduction

    def each(self, boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
        """The loss of every pair, ``[N]``."""
        raise NotImplementedError

    def forward(self, boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
        """The loss of predicted boxes.

        Args:
            boxes_N4: float ``[N, 4]``, predicted.
            targets_N4: float ``[N, 4]``, true.

        Returns:
            A scalar, or ``[N]`` for reduction ``none``.

        Raises:
            ValueError: if shapes or dtypes are others than these.
        """
        _check(boxes_N4, targets_N4)
        loss_N = self.each(boxes_N4, targets_N4)
        if self.reduction == "none":
            return loss_N
        total = loss_N.sum()
        return total / max(1, len(loss_N)) if self.reduction == "mean" else total

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"reduction={self.reduction!r}"


class IoULoss(_BoxLoss):
    r"""One minus the intersection over union, in [0, 1].

    Boxes that do not touch all cost 1 and get no gradient: see :class:`GIoULoss`.

    Source: Yu et al. 2016, "UnitBox", https://arxiv.org/abs/1608.01471 (there its logarithm).
    Arguments and errors: ``reduction`` as in the others of this file.
    """

    def each(self, boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
        """``1 - IoU`` of every pair, ``[N]``."""
        top_left = boxes_N4[:, :2].maximum(targets_N4[:, :2])
        bottom_right = boxes_N4[:, 2:].minimum(targets_N4[:, 2:])
        shared_N = (bottom_right - top_left).clamp_min(0).prod(dim=1)
        union_N = _area(boxes_N4) + _area(targets_N4) - shared_N
        return 1 - shared_N / (union_N + EPS)


class GIoULoss(_BoxLoss):
    r"""One minus the generalised IoU, in [0, 2]: disjoint boxes are pulled together.

    :math:`1 - \mathrm{IoU} + \frac{|C| - |A \cup B|}{|C|}` with C the smallest box around both.

    Source: Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630. Arguments and errors:
    ``reduction`` as in the others of this file.
    """

    def each(self, boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
        """``1 - GIoU`` of every pair, ``[N]``."""
        from torchvision.ops import generalized_box_iou_loss  # takes seconds to import

        loss_N: Tensor = generalized_box_iou_loss(boxes_N4, targets_N4, eps=EPS)
        return loss_N


class DIoULoss(_BoxLoss):
    r"""One minus the IoU, plus how far the centres are apart, in [0, 2].

    :math:`1 - \mathrm{IoU} + d^2 / c^2` with d the distance of the centres and c the diagonal of
    the smallest box around both. Pulls faster than :class:`GIoULoss` where one box contains the
    other.

    Source: Zheng et al. 2020, https://arxiv.org/abs/1911.08287. Arguments and errors:
    ``reduction`` as in the others of this file.
    """

    def each(self, boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
        """``1 - DIoU`` of every pair, ``[N]``."""
        from torchvision.ops import distance_box_iou_loss  # takes seconds to import

        loss_N: Tensor = distance_box_iou_loss(boxes_N4, targets_N4, eps=EPS)
        return loss_N


def _area(boxes_N4: Tensor) -> Tensor:
    return (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(dim=1)


def _check(boxes_N4: Tensor, targets_N4: Tensor) -> None:
    for name, boxes in (("boxes", boxes_N4), ("targets", targets_N4)):
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
            raise ValueError(
                f"{name} must be float [N, 4], found {boxes.dtype} {list(boxes.shape)}"
            )
    if len(boxes_N4) != len(targets_N4):
        raise ValueError(f"{len(boxes_N4)} boxes cannot be compared with {len(targets_N4)} targets")
