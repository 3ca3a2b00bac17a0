"""The bidirectional LSTM.

Shape suffixes: B batch, L length in tokens with padding, C channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from burnish.models.checks import require_text
from burnish.models.text import (
    embedding_table,
    masked_max,
    rearrange,
    reversal,
    true_lengths,
    true_tokens,
)
from burnish.nn.checks import not_fraction, not_positive, report
from burnish.nn.init import kaiming_init
from burnish.spec import TextSpec

POOLINGS = ("last", "max")


class BiLSTM(nn.Module):
    """Layers of two LSTMs, one reading forwards and one backwards, pooled for a small classifier.

    Source: Graves and Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM
    and other neural network architectures".

    The backward LSTM reads each text turned round by its own length, so that it begins at the
    text's last token and never in the padding. That equals torch's packed sequences, which are
    slower on a CPU and cannot be exported to ONNX.

    Args:
        spec: the vocabulary and classes.
        embedding: width of the embeddings.
        hidden: width of the state of each direction.
        layers: number of bidirectional layers.
        classifier: width of the hidden layer of the classifier.
        dropout: share dropped in training, in [0, 1), of the embeddings, between the layers and
            before the classifier.
        pooling: ``last`` takes the state in which each direction ends, ``max`` the maximum of each
            channel over the text.

    Raises:
        ModelError: if the data is no text.
        ConfigError: naming the argument under ``model.``.
    """

    def __init__(
        self,
        spec: TextSpec,
        *,
        embedding: int = 64,
        hidden: int = 128,
        layers: int = 2,
        classifier: int = 64,
        dropout: float = 0.3,
        pooling: Literal["last", "max"] = "last",
    ) -> None:
        super().__init__()
        require_text("BiLSTM", spec)
        report(
            not_positive("model.embedding", embedding),
            not_positive("model.hidden", hidden),
            not_positive("model.layers", layers),
            not_positive("model.classifier", classifier),
            not_fraction("model.dropout", dropout),
            _not_pooling(pooling),
        )
        self.pooling = pooling
        self.embedding = embedding_table(spec.vocabulary_size, embedding)
        widths = [embedding] + [2 * hidden] * (layers - 1)
        self.layers = nn.ModuleList(BiLayer(width, hidden) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * hidden, classifier), nn.ReLU()
        )
        self.head = nn.Linear(classifier, spec.num_classes)
        kaiming_init(self)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of token ids, int64 ``[B, L]``, padded with 0 behind."""
        turned = reversal(ids_BL)
        x_BLC = self.embedding(ids_BL)
        for layer in self.layers:
            x_BLC = layer(self.dropout(x_BLC), turned)
        logits: Tensor = self.head(self.classifier(self._pool(x_BLC, ids_BL)))
        return logits

    def _pool(self, x_BLC: Tensor, ids_BL: Tensor) -> Tensor:
        if self.pooling == "max":
            return masked_max(x_BLC, true_tokens(ids_BL))
        rows_B = torch.arange(ids_BL.shape[0], device=ids_BL.device)
        ahead_BC, _ = x_BLC[rows_B, true_lengths(ids_BL) - 1].chunk(2, dim=1)
        _, back_BC = x_BLC[:, 0].chunk(2, dim=1)  # the backward direction ends at the first token
        return torch.cat([ahead_BC, back_BC], dim=1)


class BiLayer(nn.Module):
    """Two LSTMs, one for each direction.

    Args:
        fan_in: channels that come in.
        hidden: width of the state of each direction.
    """

    def __init__(self, fan_in: int, hidden: int) -> None:
        super().__init__()
        self.ahead = _lstm(fan_in, hidden)
        self.back = _lstm(fan_in, hidden)

    def forward(self, x_BLC: Tensor, turned: Tensor) -> Tensor:
        """``[B, L, fan_in]`` to the states of both directions side by side, ``[B, L, 2 hidden]``.

        Args:
            x_BLC: float, padded behind with anything.
            turned: the :func:`~burnish.models.text.reversal` of the texts.
        """
        ahead_BLC, _ = self.ahead(x_BLC)
        back_BLC, _ = self.back(rearrange(x_BLC, turned))
        return torch.cat([ahead_BLC, rearrange(back_BLC, turned)], dim=2)


def _lstm(fan_in: int, hidden: int) -> nn.LSTM:
    lstm = nn.LSTM(fan_in, hidden, batch_first=True)
    with torch.no_grad():
        # Open forget gates keep what the first tokens said (Jozefowicz et al. 2015, "An Empirical
        # Exploration of Recurrent Network Architectures"); on Chinese reviews by character the
        # second epoch ended 5 to 6 points higher. torch orders the gates input, forget, cell,
        # output, and adds both biases.
        lstm.get_parameter("bias_ih_l0")[hidden : 2 * hidden] = 1.0
        lstm.get_parameter("bias_hh_l0")[hidden : 2 * hidden] = 0.0
    return lstm


def _not_pooling(pooling: object) -> str | None:
    if pooling in POOLINGS:
        return None
    return f"model.pooling: must be {' or '.join(POOLINGS)}, found {pooling!r}"
