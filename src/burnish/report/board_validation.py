"""What a pass over the validation split showed, kept on its device until the pass is over.

Shape suffixes: B batch, K classes, M mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Mistakes:
    """Wrong predictions, the surest first.

    Args:
        inputs: as the net got them, float ``[M, C, H, W]`` or int64 ``[M, L]``.
        truth: int64 ``[M]``.
        said: the predicted class, int64 ``[M]``.
        sureness: probability given to it, float32 ``[M]``; -1 where there is no mistake.
    """

    inputs: Tensor
    truth: Tensor
    said: Tensor
    sureness: Tensor

    def surest(self, count: int) -> Mistakes:
        """The first of them."""
        top = self.sureness.topk(min(count, len(self.sureness))).indices
        return Mistakes(self.inputs[top], self.truth[top], self.said[top], self.sureness[top])

    def and_those(self, more: Mistakes) -> Mistakes:
        """Both together; texts are padded to one length."""
        return Mistakes(
            torch.cat(_of_one_length(self.inputs, more.inputs)),
            torch.cat([self.truth, more.truth]),
            torch.cat([self.said, more.said]),
            torch.cat([self.sureness, more.sureness]),
        )

    def real(self) -> Mistakes:
        """Without what is no mistake, on the CPU."""
        kept = self.sureness >= 0
        fields = (self.inputs, self.truth, self.said, self.sureness)
        return Mistakes(*(field[kept].cpu() for field in fields))


class Validation:
    """Logits and classes of every sample, and the inputs of the surest mistakes.

    Args:
        kept: number of mistakes.
    """

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self._logits: list[Tensor] = []
        self._truth: list[Tensor] = []
        self._mistakes: Mistakes | None = None

    def add(self, inputs: Tensor, logits_BK: Tensor, targets: Tensor) -> None:
        """A batch; nothing here makes a GPU wait.

        Args:
            inputs: as the net got them.
            logits_BK: float.
            targets: int64 ``[B]``, or soft float ``[B, K]``, of which the largest counts.
        """
        truth_B = hard(targets)
        self._logits.append(logits_BK.float())
        self._truth.append(truth_B)
        sureness_B, said_B = self._logits[-1].softmax(1).max(1)
        sureness_B = sureness_B.masked_fill(said_B == truth_B, -1.0)
        found = Mistakes(inputs, truth_B, said_B, sureness_B).surest(self.kept)
        both = found if self._mistakes is None else self._mistakes.and_those(found)
        self._mistakes = both.surest(self.kept)

    @property
    def empty(self) -> bool:
        """Whether there was no batch."""
        return not self._logits

    @property
    def truth(self) -> Tensor:
        """int64 ``[samples]`` on the CPU."""
        return torch.cat(self._truth).cpu()

    @property
    def probabilities(self) -> Tensor:
        """float32 ``[samples, K]`` on the CPU."""
        return torch.cat(self._logits).softmax(1).cpu()

    @property
    def mistakes(self) -> Mistakes:
        """On the CPU; there must have been a batch."""
        assert self._mistakes is not None
        return self._mistakes.real()


def hard(targets: Tensor) -> Tensor:
    """The class of each sample, int64 ``[B]``; of mixed ones that with the largest share."""
    return targets.argmax(1) if targets.is_floating_point() else targets


def _of_one_length(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    longer = max(a.shape[-1], b.shape[-1])
    return F.pad(a, (0, longer - a.shape[-1])), F.pad(b, (0, longer - b.shape[-1]))
