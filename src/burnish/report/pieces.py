"""A text cut into the pieces that its tokens stand for, as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from unicodedata import east_asian_width

from tokenizers import normalizers, pre_tokenizers

from burnish.spec import TextSpec


def pieces(spec: TextSpec, text: str, ids: Sequence[int]) -> list[str]:
    """What each token covers of the text; unknown tokens too.

    Args:
        spec: whose tokenizer made the ids.
        text: as it was read.
        ids: of its tokens, without padding; a long text's are cut off.

    Returns:
        One piece a token, lower-cased if the tokenizer does it; joined they read like the text.
    """
    lowered = text.lower() if spec.lowercase else text
    if spec.tokenizer == "char":
        found = list(lowered)
    elif spec.tokenizer == "word":
        found = list(_words(spec, text))
    else:
        found = _byte_pairs(lowered, [len(spec.vocabulary[i]) for i in ids])
    if len(found) < len(ids):  # a tokenizer that cuts otherwise: its own names of the tokens
        return [spec.vocabulary[i] for i in ids]
    return found[: len(ids)]


def _words(spec: TextSpec, text: str) -> Iterator[str]:
    """Words with a blank behind them where there is one, but for Chinese characters.

    The normaliser puts blanks around those, which the text did not have.
    """
    normaliser = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=spec.lowercase
    )
    clean = normaliser.normalize_str(text)
    found = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(clean)
    ends = [start for _, (start, _) in found[1:]] + [len(clean)]
    for (word, (_, own_end)), end in zip(found, ends, strict=True):
        chinese = east_asian_width(word[-1]) in "WF"
        yield word if chinese or end == own_end else f"{word} "


def _byte_pairs(text: str, sizes: Sequence[int]) -> list[str]:
    """Tokens of so many bytes each; a letter of several belongs to the one with its first byte."""
    text = text if text.startswith(" ") else f" {text}"
    ends = list(accumulate(sizes))
    found, token, place = [""] * len(sizes), 0, 0
    for letter in text:
        while token < len(ends) and place >= ends[token]:
            token += 1
        if token == len(ends):
            break
        found[token] += letter
        place += len(letter.encode("utf-8", "surrogatepass"))
    return found
