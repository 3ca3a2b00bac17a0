"""The transformer encoder for texts.

Shape suffixes: B batch, L length in tokens with padding, C channels, H heads, D channels a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.errors import ModelError
from burnish.models.checks import require_text
from burnish.models.text import embedding_table, masked_mean, true_tokens
from burnish.nn.checkpointing import checkpointed
from burnish.nn.checks import not_fraction, not_positive, report
from burnish.spec import TextSpec

STD = 0.02  # of initial weights, as in BERT and GPT-2


class TextTransformer(nn.Module):
    """A small encoder with normalisation first, then the mean over the text, then the head.

    Sources: Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762;
    Xiong et al. 2020 for the place of the norms, https://arxiv.org/abs/2002.04745. Positions are
    learned, so that texts up to the ``max_length`` of the data are all it can take.

    Args:
        spec: the vocabulary, maximum length and classes.
        width: of embeddings and layers.
        heads: of the attention; divides the width.
        layers: number of blocks.
        expansion: the feed-forward part's hidden layer is so many times as wide.
        dropout: share dropped in training, in [0, 1), of the embeddings and of what each half of a
            block adds.
        grad_checkpointing: in training keep only what enters each block and compute the rest again
            for the gradients: less memory, the same result, more time a step.

    Raises:
        ModelError: if the data is no text.
        ConfigError: naming the argument under ``model.``.
    """

    def __init__(
        self,
        spec: TextSpec,
        *,
        width: int = 128,
        heads: int = 4,
        layers: int = 2,
        expansion: int = 4,
        dropout: float = 0.1,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        require_text("TextTransformer", spec)
        report(
            not_positive("model.width", width),
            not_positive("model.heads", heads),
            _not_divisor(width, heads),
            not_positive("model.layers", layers),
            not_positive("model.expansion", expansion),
            not_fraction("model.dropout", dropout),
        )
        self.grad_checkpointing = grad_checkpointing
        self.embedding = embedding_table(spec.vocabulary_size, width, STD)
        self.positions = nn.Parameter(torch.empty(spec.max_length, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, expansion, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, spec.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.positions, std=STD)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=STD)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of token ids, int64 ``[B, L]``, padded with 0 behind.

        Raises:
            ModelError: if L exceeds the data's maximum length.
        """
        length, longest = ids_BL.shape[1], self.positions.shape[0]
        if length > longest:
            raise ModelError(
                f"TextTransformer takes up to {longest} tokens, the max_length of its data, found "
                f"{length}: cut the texts, or train with a larger data.max_length"
            )
        true_BL = true_tokens(ids_BL)
        x_BLC = self.dropout(self.embedding(ids_BL) + self.positions[:length])
        again = self.grad_checkpointing and self.training and torch.is_grad_enabled()
        for block in self.blocks:
            x_BLC = checkpointed(block, x_BLC, true_BL) if again else block(x_BLC, true_BL)
        logits: Tensor = self.head(masked_mean(self.norm(x_BLC), true_BL))
        return logits


class Block(nn.Module):
    """Attention, then two linear layers around a GELU; each normalises first and adds its result.

    Args:
        width: channels in and out.
        heads: divides the width.
        expansion: the hidden layer is so many times as wide.
        dropout: share of what is added that is dropped in training.
    """

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        # A bias of the keys would add the same to a query's every score: softmax drops it.
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLC: Tensor, true_BL: Tensor) -> Tensor:
        """``[B, L, width]`` to the same shape; tokens see only positions marked True."""
        x_BLC = x_BLC + self.dropout(self.attend(self.norm1(x_BLC), true_BL))
        changed: Tensor = x_BLC + self.dropout(self.mlp(self.norm2(x_BLC)))
        return changed

    def attend(self, x_BLC: Tensor, true_BL: Tensor) -> Tensor:
        """Scaled dot-product attention of every token to the true ones, ``[B, L, width]``."""
        qkv_BLHD = self.qkv(x_BLC).unflatten(2, (3 * self.heads, -1))
        q, k, v = qkv_BLHD.transpose(1, 2).chunk(3, dim=1)
        y_BHLD = F.scaled_dot_product_attention(q, k, v, attn_mask=true_BL[:, None, None, :])
        mixed: Tensor = self.out(y_BHLD.transpose(1, 2).flatten(2))
        return mixed


def _not_divisor(width: int, heads: int) -> str | None:
    """A sentence unless ``heads`` divides ``width``; nothing on what is no whole number anyway."""
    if not_positive("", width) or not_positive("", heads) or width % heads == 0:
        return None
    return f"model.heads: must divide model.width, which is {width}, found {heads}"
