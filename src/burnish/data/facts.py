"""What is known of a data set once every sample was looked at, as plain containers for JSON.

The common part::

    name, data, fingerprint, notes
    class_names, class_counts {split: [samples of each class]}
    imbalance   training samples of the largest class for each of the smallest; null: one is empty
    images      or texts: see :func:`image_facts` and :func:`text_facts`
    duplicates  {kind: groups, within, between, conflicts, examples}, see :func:`copies_facts`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from burnish.data.base import DataModule
from burnish.data.duplicates import Samples
from burnish.data.images import ImageDataModule
from burnish.data.statistics import Headers, distinctive_tokens, imbalance, spread
from burnish.data.survey import Copies, ImagePass, file_of, text_table, token_counts
from burnish.spec import RESERVED, UNKNOWN, TextSpec

Facts = dict[str, Any]

UNITS = {"char": "characters", "word": "words", "bpe": "byte pairs"}


def common_facts(name: str, data: DataModule) -> Facts:
    """What every kind of data has."""
    ratio = imbalance(data.class_counts["train"])
    return {
        "name": name,
        "data": type(data).__name__,
        "fingerprint": data.fingerprint,
        "class_names": list(data.spec.class_names),
        "class_counts": data.class_counts,
        "imbalance": ratio if math.isfinite(ratio) else None,
        "notes": list(data.notes),
    }


def image_facts(data: ImageDataModule, seen: ImagePass, headers: Headers | None) -> Facts:
    """Size, normalisation (measured and in use), and what the files are like."""
    spec = data.spec
    return {
        "channels": spec.channels,
        "height": spec.height,
        "width": spec.width,
        "mean": list(seen.mean),
        "std": list(seen.std),
        "mean_in_use": list(spec.mean),
        "std_in_use": list(spec.std),
        "paste": f"data.mean={_listed(seen.mean)} data.std={_listed(seen.std)}",
        "files": headers and _file_facts(headers, spec.height),
    }


def _listed(values: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:.4f}" for value in values) + "]"


def _file_facts(headers: Headers, size: int) -> Facts:
    shorter = np.minimum(headers.widths, headers.heights)
    return {
        "width": spread(headers.widths),
        "height": spread(headers.heights),
        "enlarged": int((shorter < size).sum()),
        "modes": dict(headers.modes),
        "formats": dict(headers.formats),
    }


def text_facts(data: DataModule, tokens: NDArray[np.int64], characters: NDArray[np.int64]) -> Facts:
    """Lengths, what is cut and unknown in each split, and each class's distinctive tokens.

    Args:
        data: with texts.
        tokens: of each text before it is cut, int64 ``[N]``.
        characters: likewise.
    """
    spec = data.spec
    assert isinstance(spec, TextSpec)
    size = spec.vocabulary_size
    counts = {
        split: token_counts(text_table(source), rows, spec.num_classes, size)
        for split, (source, rows) in data.splits.items()
    }
    known = counts["train"].copy()
    known[:, : len(RESERVED)] = 0
    return {
        "tokenizer": spec.tokenizer,
        "unit": UNITS[spec.tokenizer],
        "max_length": spec.max_length,
        "vocabulary_size": size,
        "tokens": spread(tokens),
        "characters": spread(characters),
        "splits": {
            split: _cut_and_unknown(text_table(source).tokens[rows], spec, counts[split])
            for split, (source, rows) in data.splits.items()
        },
        "distinctive": {
            name: [{**asdict(found), "token": spec.vocabulary[found.token]} for found in row]
            for name, row in zip(spec.class_names, distinctive_tokens(known), strict=True)
        },
    }


def _cut_and_unknown(tokens: Tensor, spec: TextSpec, counts: NDArray[np.int64]) -> Facts:
    cut = int((tokens > spec.max_length).sum())
    return {
        "cut": cut,
        "cut_share": cut / len(tokens),
        "unknown_share": float(counts[:, UNKNOWN].sum() / max(counts.sum(), 1)),
    }


def copies_facts(data: DataModule, samples: Samples, copies: Copies) -> Facts:
    """The counts, and the examples with the places that they are from."""
    found = asdict(copies.summary)
    found["examples"] = [
        {"one": place_of(data, samples, one), "other": place_of(data, samples, other)}
        for one, other in found.pop("pairs")
    ]
    return found


def place_of(data: DataModule, samples: Samples, position: int) -> Facts:
    """Split, row of its source, file if it has one, and label of a sample."""
    file = file_of(data, samples, position)
    return {
        "split": samples.split_names[samples.splits[position]],
        "row": int(samples.rows[position]),
        "file": file and _below(file, getattr(data, "root", None)),
        "label": data.spec.class_names[samples.labels[position]],
    }


def _below(file: Path, root: Path | None) -> str:
    return str(file.relative_to(root) if root and file.is_relative_to(root) else file)
