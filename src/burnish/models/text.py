"""What the text nets share: where a text ends, its embeddings, pooling over its tokens alone.

A net sees a text padded to the longest of its batch, and must not see by how much: all that is
here gives the same result whatever stands behind the end.

Shape suffixes: B batch, L length in tokens with padding, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from burnish.spec import PAD


def true_lengths(ids_BL: Tensor) -> Tensor:
    """Number of tokens of each text, int64 ``[B]``; an empty text counts as one padding token."""
    return (ids_BL != PAD).sum(1).clamp(min=1)


def true_tokens(ids_BL: Tensor) -> Tensor:
    """Bool ``[B, L]``: True up to each text's end, and at least once in each row."""
    return _positions(ids_BL) < true_lengths(ids_BL)[:, None]


def reversal(ids_BL: Tensor) -> Tensor:
    """Where to read from to turn every text round and leave its padding behind.

    Returns:
        int64 ``[B * L]`` into the flattened positions of the batch, for :func:`rearrange`; done
        twice it gives back the original.
    """
    positions_L, lengths_B1 = _positions(ids_BL), true_lengths(ids_BL)[:, None]
    sources_BL = torch.where(positions_L < lengths_B1, lengths_B1 - 1 - positions_L, positions_L)
    rows_B1 = torch.arange(ids_BL.shape[0], device=ids_BL.device)[:, None]
    return (rows_B1 * ids_BL.shape[1] + sources_BL).flatten()


def rearrange(x_BLC: Tensor, sources: Tensor) -> Tensor:
    """``x_BLC`` with each position taken from where ``sources`` says (see :func:`reversal`)."""
    # One index per position: gather would need one per number and took 16 times as long on a CPU.
    return x_BLC.flatten(0, 1).index_select(0, sources).view_as(x_BLC)


def masked_mean(x_BLC: Tensor, true_BL: Tensor) -> Tensor:
    """Mean over the positions marked True, ``[B, C]``."""
    weights_BL1 = true_BL[:, :, None].to(x_BLC.dtype)
    return (x_BLC * weights_BL1).sum(1) / weights_BL1.sum(1)


def masked_max(x_BLC: Tensor, true_BL: Tensor) -> Tensor:
    """Maximum over the positions marked True, ``[B, C]``."""
    return x_BLC.masked_fill(~true_BL[:, :, None], -math.inf).amax(1)


def embedding_table(entries: int, width: int, std: float = 0.1) -> nn.Embedding:
    """Vectors by id, normally distributed; that of the padding is and stays 0.

    Args:
        entries: number of ids, the padding's included.
        width: of a vector.
        std: of each number; a rare word keeps its first vector for long, and at torch's 1.0 that
            noise drowns what was learned (SST-2, 8 epochs: convolutions 0.75 with 1.0, 0.81 with
            0.1; mean of embeddings 0.78 and 0.80).
    """
    embedding = nn.Embedding(entries, width, padding_idx=PAD)
    with torch.no_grad():
        embedding.weight.mul_(std)
    return embedding


def _positions(ids_BL: Tensor) -> Tensor:
    return torch.arange(ids_BL.shape[1], device=ids_BL.device)
