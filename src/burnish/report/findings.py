"""What a person should look at in a data set: sentences made from the facts about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]

# From here on a finding is worth a person's time.
UNEVEN = 10.0  # training samples of the largest class for each of the smallest
MUCH_CUT = 0.05  # share of the training texts
MUCH_UNKNOWN = 0.05  # share of the tokens of val or test

# How a sentence about each kind of duplicate begins and goes on; drawings can be alike by chance.
SAME = {
    "exact": ("Copies", "occur in", "flatters"),
    "alike": ("Nearly the same", "look like one in", "may flatter"),
}


def findings(facts: Facts) -> list[str]:
    """What would hurt a training or flatter its score; empty if nothing was found.

    Args:
        facts: of a data set, as ``statistics.json`` holds them.
    """
    found = [*_about_classes(facts)]
    for kind, copies in facts["duplicates"].items():
        found += _about_copies(kind, copies, facts["class_counts"])
    if "texts" in facts:
        found += _about_texts(facts["texts"])
    else:
        found += _about_images(facts["images"])
    return found


def _about_classes(facts: Facts) -> Iterator[str]:
    names, counts = facts["class_names"], facts["class_counts"]
    if facts["imbalance"] is None or facts["imbalance"] >= UNEVEN:
        train = counts["train"]
        low, high = train.index(min(train)), train.index(max(train))
        yield (
            f"Uneven classes: {train[high]:,} of {names[high]} and {train[low]:,} of {names[low]}; "
            "consider loss.class_weights=balanced or data.sampler=balanced, and monitor=val/f1."
        )
    for split, values in counts.items():
        absent = [name for name, number in zip(names, values, strict=True) if not number]
        if split != "train" and absent:
            yield f"{split} has no sample of {', '.join(absent)}."


def _about_copies(kind: str, copies: Facts, counts: Mapping[str, Sequence[int]]) -> Iterator[str]:
    title, occur, flatters = SAME[kind]
    if conflicts := copies["conflicts"]:
        what = "1 group has" if conflicts == 1 else f"{conflicts:,} groups have"
        yield f"{title}: {what} samples with different labels."
    for pair, number in copies["between"].items():
        split, _, other = pair.partition(" in ")
        if number:
            yield (
                f"{title}: {number:,} of {sum(counts[split]):,} samples of {split} {occur} "
                f"{other}, which {flatters} the score on {split}."
            )


def _about_texts(texts: Facts) -> Iterator[str]:
    unit = texts["unit"]
    cut = texts["splits"]["train"]["cut_share"]
    if cut > MUCH_CUT:
        yield (
            f"Cut: {cut:.0%} of the training texts are longer than data.max_length="
            f"{texts['max_length']} {unit}; 95 % of all texts have at most "
            f"{texts['tokens']['95%']:,.0f}."
        )
    unknown = {
        split: found["unknown_share"]
        for split, found in texts["splits"].items()
        if split != "train" and found["unknown_share"] > MUCH_UNKNOWN
    }
    if unknown:
        shares = " and ".join(f"{share:.0%} of {split}" for split, share in unknown.items())
        yield (
            f"Unknown: {shares} are {unit} that the training split does not have often enough; "
            "consider a smaller data.min_frequency or data.tokenizer=bpe."
        )


def _about_images(images: Facts) -> Iterator[str]:
    if images["files"] and (number := images["files"]["enlarged"]):
        what = "1 file is" if number == 1 else f"{number:,} files are"
        yield f"Small: {what} below data.image_size={images['height']} and will be enlarged."
