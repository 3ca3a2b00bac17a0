"""What training, evaluation and service alike do to a text before anything else."""

from __future__ import annotations


def clean(text: str) -> str:
    """Without outer blanks, and without byte-order marks that joined files carry inside."""
    return text.strip().lstrip("\ufeff").lstrip()
