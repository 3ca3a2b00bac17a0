"""The convolutional net for texts.

Shape suffixes: B batch, L length in tokens with padding, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.models.checks import require_text
from burnish.models.text import embedding_table, masked_max, true_tokens
from burnish.nn.checks import not_all_positive, not_fraction, not_positive, report
from burnish.nn.init import kaiming_init
from burnish.spec import TextSpec


class TextCNN(nn.Module):
    """Convolutions of several lengths side by side, each channel's maximum over the text, a head.

    Source: Kim 2014, "Convolutional Neural Networks for Sentence Classification",
    https://arxiv.org/abs/1408.5882. A window begins at every token of the text, and reads zeros
    where it reaches past the end; so texts shorter than a window work too.

    Args:
        spec: the vocabulary and classes.
        embedding: width of the embeddings.
        kernels: length in tokens of each group of convolutions.
        channels: of each group.
        dropout: share of the maxima dropped in training, in [0, 1).

    Raises:
        ModelError: if the data is no text.
        ConfigError: naming the argument under ``model.``.
    """

    def __init__(
        self,
        spec: TextSpec,
        *,
        embedding: int = 128,
        kernels: Sequence[int] = (2, 3, 4),
        channels: int = 128,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        require_text("TextCNN", spec)
        report(
            not_positive("model.embedding", embedding),
            not_all_positive("model.kernels", kernels) or _empty(kernels),
            not_positive("model.channels", channels),
            not_fraction("model.dropout", dropout),
        )
        self.overhang = max(kernels) - 1  # of the longest window that begins at the last token
        self.embedding = embedding_table(spec.vocabulary_size, embedding)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, channels, k) for k in kernels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels * len(kernels), spec.num_classes)
        kaiming_init(self)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of token ids, int64 ``[B, L]``, padded with 0 behind."""
        length, true_BL = ids_BL.shape[1], true_tokens(ids_BL)
        x_BCL = self.embedding(F.pad(ids_BL, (0, self.overhang))).transpose(1, 2)
        maxima = []
        for convolution in self.convolutions:
            y_BCL = convolution(x_BCL)[:, :, :length]  # one window for each token it begins at
            maxima.append(masked_max(y_BCL.transpose(1, 2), true_BL))
        features_BC = F.relu(torch.cat(maxima, dim=1))  # ReLU and maximum may change places
        logits: Tensor = self.head(self.dropout(features_BC))
        return logits


def _empty(kernels: Sequence[int]) -> str | None:
    return None if kernels else "model.kernels: must list at least one length, found []"
