"""Texts for TensorBoard, which renders them as Markdown.

Texts and class names are anybody's: none of their characters shall be taken for Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import yaml
from tokenizers import decoders
from torch import Tensor

from burnish.runs.console import printable
from burnish.spec import PAD, TextSpec

LONGEST = 400  # characters of a text in a list
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~])")


def readable(ids: Tensor, spec: TextSpec) -> str:
    """The text as the net reads it, what is unknown as ``<unk>``.

    Args:
        ids: int64 ``[length]``, padded behind.
        spec: whose vocabulary they are of.
    """
    tokens = [spec.vocabulary[i] for i in ids.tolist() if i != PAD]
    if spec.tokenizer == "bpe":  # its tokens are bytes spelled as letters
        return str(decoders.ByteLevel().decode(tokens)).strip()
    return ("" if spec.tokenizer == "char" else " ").join(tokens)


def bullets(rows: Sequence[tuple[str, str]]) -> str:
    """A Markdown list of texts with words in bold before each, all as the letters that they have.

    No table: TensorBoard squeezes the narrow columns of one until words break.
    """
    return "\n".join(f"- **{literal(words)}**  {literal(text)}" for words, text in rows)


def literal(text: str) -> str:
    """Any text on one line, for Markdown; a long one cut."""
    line = one_line(text)
    cut = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return _MARKS.sub(r"\\\1", escape(cut))


def one_line(text: str) -> str:
    """Without line breaks, tabs and control characters."""
    return " ".join(printable(text).split())


def listing(values: Mapping[str, Any]) -> str:
    """A configuration as YAML, in a block that Markdown leaves alone."""
    text = yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False, width=10_000)
    return "\n".join(f"    {line}" for line in text.splitlines())
