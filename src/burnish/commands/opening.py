"""What a training run says and writes down before it begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from torch import nn

from burnish.data.base import DataModule
from burnish.runs.console import say, short
from burnish.runs.folder import RunFolder
from burnish.runs.provenance import provenance
from burnish.spec import Spec, TextSpec

Config = Mapping[str, Any]

# The rarest class under this share of the largest deserves a word.
UNEVEN = 0.1


def describe(config: Config, run: RunFolder, data: DataModule, net: nn.Module) -> None:
    """Say what is about to be trained; write spec, split and provenance into the run folder."""
    counts = data.class_counts
    sizes = ", ".join(f"{sum(counts[split]):,} {split}" for split in counts)
    rows = [
        ("run folder", short(run.path)),
        ("data", f"{_name(config['data'])}: {sizes}"),
        (*_of_spec(data.spec, _range(counts["train"])),),
        ("model", f"{_name(config['model'])}: {_parameters(config, net)}"),
    ]
    for name, text in rows:
        say(f"{name:<12}{text}")
    notes = [*data.notes, *getattr(net, "notes", ()), *_uneven(config, data), *_untrained(config)]
    for note in notes:
        say(f"{'note':<12}{note}")
    if config["resume"]:
        for note in differing_data(run, data):
            say(f"{'note':<12}{note}")
    elif int(os.environ.get("LOCAL_RANK", "0")) == 0:
        run.write_json("spec", data.spec.to_dict())
        run.write_json("split", {"val_indices": [int(i) for i in data.val_indices]})
        facts = {"fingerprint": data.fingerprint, "class_counts": counts, "notes": notes}
        run.write_json("provenance", provenance(config["seed"], facts))


def differing_data(run: RunFolder, data: DataModule) -> Iterator[str]:
    """A sentence if the data is not what the run was trained on."""
    path = run.path / "provenance.json"
    known = run.read_json("provenance").get("data") if path.exists() else None
    if not isinstance(known, Mapping) or known.get("fingerprint") in (None, data.fingerprint):
        return
    counts = known.get("class_counts")
    then = {
        split: sum(values)
        for split, values in (counts.items() if isinstance(counts, Mapping) else ())
        if _are_counts(values)
    }
    changed = [
        f"{then[split]:,} {split} samples then, {sum(now):,} now"
        for split, now in data.class_counts.items()
        if then.get(split, sum(now)) != sum(now)
    ]
    yield (
        "the data differs from what the run was trained on (another fingerprint): "
        + ("; ".join(changed) or "as many samples, other contents")
    )


def counts_of(checkpoint: Mapping[str, Any], data: DataModule) -> list[int] | None:
    """Samples of each class that the checkpoint's run was trained on, if it says so."""
    card = checkpoint.get("burnish")
    counts = card.get("class_counts") if isinstance(card, Mapping) else None
    return counts if _are_counts(counts) and len(counts) == data.spec.num_classes else None


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]


def _of_spec(spec: Spec, counts: str) -> tuple[str, str]:
    if isinstance(spec, TextSpec):
        return "texts", (
            f"{spec.vocabulary_size:,} {spec.tokenizer} tokens, at most {spec.max_length} a text, "
            f"{spec.num_classes} classes, {counts} texts each"
        )
    return "images", (
        f"{spec.channels} x {spec.height} x {spec.width}, {spec.num_classes} classes, "
        f"{counts} images each"
    )


def _parameters(config: Config, net: nn.Module) -> str:
    count = f"{sum(p.numel() for p in net.parameters()):,} parameters"
    if config.get("freeze") != "backbone":
        return count
    head: Any = getattr(net, "head", None)
    trained = sum(p.numel() for p in head.parameters()) if head is not None else 0
    until = config.get("unfreeze_epoch")
    return f"{count}, {trained:,} of them trained" + (f" until epoch {until + 1}" if until else "")


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _uneven(config: Config, data: DataModule) -> Iterator[str]:
    """A sentence if classes are very uneven and nothing was done about it."""
    counts = data.class_counts["train"]
    rarest, largest = min(counts), max(counts)
    weighted = config["loss"].get("class_weights", "none") != "none" or config["loss"].get("alpha")
    if rarest >= UNEVEN * largest or weighted or data.sampler != "none":
        return
    names = data.spec.class_names
    yield (
        f"uneven classes: {rarest:,} of {names[counts.index(rarest)]} against {largest:,} of "
        f"{names[counts.index(largest)]}; consider loss.class_weights=balanced, "
        "data.sampler=balanced or loss=focal, and monitor=val/f1"
    )


def _untrained(config: Config) -> Iterator[str]:
    """A sentence if what is frozen was never trained."""
    model = config["model"]
    given = config["resume"] or config["init_from"]
    if config["freeze"] == "backbone" and not (
        given or model.get("weights") or model.get("weights_file")
    ):
        yield (
            "freeze=backbone leaves a backbone of random weights as it is; give it weights with "
            "init_from=, model.weights= or model.weights_file="
        )
