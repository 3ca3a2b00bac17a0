"""Texts in memory, before and after they are turned into token ids.

Shapes: N texts, B batch, L tokens of a batch's longest text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.loading import Batch, InMemory
from burnish.data.tokenize import Tokenizer


@dataclass(frozen=True)
class Texts(InMemory):
    """Texts as they were read; they make no batches yet.

    Args:
        texts: N strings.
        labels: int64 ``[N]``.
    """

    texts: Sequence[str]
    labels: Tensor

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """Refused: there are no ids before the vocabulary is known."""
        raise TypeError("texts make batches once they are encoded")


@dataclass(frozen=True)
class TextTable(InMemory):
    """Token ids of all texts in one array.

    Args:
        texts: N strings, as they were read.
        labels: int64 ``[N]``.
        ids: int32, all texts one after another, whole.
        offsets: where each text begins in ``ids``, int64 ``[N]``.
        tokens: of each text, whole, int64 ``[N]``.
        lengths: the same, cut at ``max_length``, int64 ``[N]``.
    """

    texts: Sequence[str]
    labels: Tensor
    ids: Tensor
    offsets: Tensor
    tokens: Tensor
    lengths: Tensor

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        """Ids int64 ``[B, L]``, padded with 0 to the batch's longest; labels int64 ``[B]``."""
        index = torch.as_tensor(rows)
        lengths = self.lengths[index]
        # A text may have no token, if its tokenizer drops all of it: it is one padding long.
        position = torch.arange(max(1, int(lengths.max())))
        inside = position < lengths[:, None]
        ids = torch.zeros(inside.shape, dtype=torch.int64)
        ids[inside] = self.ids[(self.offsets[index, None] + position)[inside]].long()
        return ids, self.labels[index]


def encode(source: Texts, tokenizer: Tokenizer, max_length: int) -> TextTable:
    """Turn texts into ids.

    Args:
        source: the texts.
        tokenizer: with the vocabulary of the training split.
        max_length: batches hold so many tokens of a text at most.
    """
    flat, counts = tokenizer.encode(source.texts)
    tokens = torch.from_numpy(counts)
    return TextTable(
        source.texts,
        source.labels,
        torch.from_numpy(flat),
        tokens.cumsum(0) - tokens,
        tokens,
        tokens.clamp(max=max_length),
    )
