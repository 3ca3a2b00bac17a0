"""The mean of a text's embeddings: the baseline that every other text net has to beat.

Shape suffixes: B batch, L length in tokens with padding, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from burnish.models.checks import require_text
from burnish.models.text import embedding_table, true_lengths
from burnish.nn.checks import not_fraction, not_positive, report
from burnish.nn.init import kaiming_init
from burnish.spec import PAD, TextSpec

# A polynomial over the integers modulo this prime hashes n-grams; products of two numbers below
# it stay within int64.
PRIME = 2**31 - 1
BASE = 1_640_531_527  # any number of 31 bits without pattern; this one is 2^32 / golden ratio^2


class BagOfEmbeddings(nn.Module):
    """Mean of the embeddings of all tokens, and of n-grams if wanted, then the head.

    Source: Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification",
    https://arxiv.org/abs/1607.01759. N-grams give back some of the order of words; in
    Chinese by character, words themselves are n-grams. There is no list of n-grams: each is hashed
    to one of ``buckets`` vectors, and those that collide share it.

    Args:
        spec: the vocabulary and classes.
        width: of the embeddings.
        ngrams: longest n-gram; 1 uses tokens only, 2 pairs of neighbours as well.
        buckets: number of vectors for all n-grams from 2 upwards; without effect at ngrams 1. The
            optimizer goes through all of them at each step: four times as many may score a point
            more and take five times as long.
        dropout: share of the mean dropped in training, in [0, 1).

    Raises:
        ModelError: if the data is no text.
        ConfigError: naming the argument under ``model.``.
    """

    def __init__(
        self,
        spec: TextSpec,
        *,
        width: int = 128,
        ngrams: int = 1,
        buckets: int = 16384,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        require_text("BagOfEmbeddings", spec)
        report(
            not_positive("model.width", width),
            not_positive("model.ngrams", ngrams),
            not_positive("model.buckets", buckets),
            not_fraction("model.dropout", dropout),
        )
        self.ngrams, self.buckets = ngrams, buckets
        self.embedding = embedding_table(spec.vocabulary_size, width)
        if ngrams > 1:
            self.ngram_embedding = embedding_table(1 + buckets, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, spec.num_classes)
        kaiming_init(self)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of token ids, int64 ``[B, L]``, padded with 0 behind."""
        total_BC = self.embedding(ids_BL).sum(1)  # the padding's vector is 0
        count_B = lengths_B = true_lengths(ids_BL)
        for n, hashed_BL in enumerate(hashed_ngrams(ids_BL, self.ngrams, self.buckets), start=2):
            total_BC = total_BC + self.ngram_embedding(hashed_BL).sum(1)
            count_B = count_B + (lengths_B - n + 1).clamp(min=0)
        logits: Tensor = self.head(self.dropout(total_BC / count_B[:, None]))
        return logits


def hashed_ngrams(ids_BL: Tensor, longest: int, buckets: int) -> Iterator[Tensor]:
    """Bucket of every n-gram of n from 2 to ``longest`` tokens.

    Yields:
        int64 ``[B, L]`` for each n, by the token at which the n-gram begins: 1 to ``buckets``, and
        0 where it reaches into the padding.
    """
    length = ids_BL.shape[1]
    following = F.pad(ids_BL, (0, longest - 1), value=PAD)
    hash_BL = ids_BL
    for n in range(2, longest + 1):
        last_BL = following[:, n - 1 : n - 1 + length]
        hash_BL = (hash_BL * BASE + last_BL) % PRIME
        yield (1 + hash_BL % buckets).masked_fill(last_BL == PAD, PAD)
