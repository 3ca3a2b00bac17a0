"""The page about a data set, from the facts that ``explore`` gathers.

``facts`` is what ``statistics.json`` holds: plain containers, described where they are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from burnish.report import figures, fonts
from burnish.report.page import Cell, Number, Page, Picture, chart

Facts = Mapping[str, Any]

EXCERPT = 160  # characters of a text that a table shows


def opening(facts: Facts) -> Page:
    """The head of the page: key figures, what needs a person's eye, and the data's notes."""
    counts = facts["class_counts"]
    page = Page(
        facts["name"],
        "burnish explore",
        f"{facts['data']}, fingerprint {facts['fingerprint']}",
    )
    page.facts(
        [(f"{split} samples", f"{sum(values):,}") for split, values in counts.items()]
        + [("classes", f"{len(facts['class_names']):,}"), ("imbalance", ratio(facts["imbalance"]))]
        + key_figures(facts)
    )
    if facts["findings"]:
        page.section("What to look at")
        page.points(facts["findings"], kind="findings")
    if facts["notes"]:
        page.section("Notes of the data set")
        for note in facts["notes"]:
            first, *rest = note.splitlines()
            page.text(first)
            if rest:
                page.points(line.strip() for line in rest)
    return page


def key_figures(facts: Facts) -> list[tuple[str, str]]:
    """A few more figures that the kind of data has."""
    if "images" in facts:
        images = facts["images"]
        return [("images", f"{images['channels']} x {images['height']} x {images['width']}")]
    texts = facts["texts"]
    return [
        (f"{texts['unit']}, median", f"{texts['tokens']['median']:,.0f}"),
        ("vocabulary", f"{texts['vocabulary_size']:,}"),
    ]


def ratio(imbalance: float | None) -> str:
    """``7.5 : 1``."""
    return "a class is empty" if imbalance is None else f"{imbalance:.3g} : 1"


def classes(page: Page, facts: Facts) -> None:
    """Samples of each class in each split, as a table and as a figure."""
    names, counts = facts["class_names"], facts["class_counts"]
    page.section("Classes")
    page.text(
        "Imbalance, the training samples of the largest class for each of the smallest: "
        f"{ratio(facts['imbalance'])}."
    )
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    whole, largest = sum(totals), max(totals)
    numbered = list(names) != [str(number) for number in range(len(names))]
    page.table(
        [*[""] * numbered, "class", *counts, "share of all"],
        [
            [
                *[str(number)] * numbered,
                name,
                *(counts[split][number] for split in counts),
                Number(f"{totals[number] / whole:.1%}", 0.95 * totals[number] / largest),
            ]
            for number, name in enumerate(names)
        ],
    )
    labels = figure_names(names)
    drawn = figures.bars("Samples of each class", labels, counts, "samples", fonts.families(labels))
    alt = "Bars: samples of each class, split by split; the numbers are in the table."
    page.pictures([chart(drawn, "classes", alt)])
    if letters := fonts.undrawable(names):
        page.text(f"Note: {fonts.advice(letters)}.")


def figure_names(names: Sequence[str]) -> list[str]:
    """Class names as figures can show them: shortened, or numbers if a font is missing."""
    if fonts.undrawable(names):
        return [str(number) for number in range(len(names))]
    return [name if len(name) <= 18 else f"{name[:17]}…" for name in names]


def pixels(page: Page, facts: Facts) -> None:
    """Mean and deviation of the channels, to be pasted."""
    images = facts["images"]
    page.section(
        "Pixels",
        "Mean and standard deviation of the training split, over every pixel, scaled to [0, 1].",
    )
    channels = ("red", "green", "blue") if images["channels"] == 3 else ("grey",)
    page.table(
        ["channel", "mean", "deviation", "mean in use", "deviation in use"],
        [
            [name, *(Number(f"{value:.4f}") for value in values)]
            for name, *values in zip(
                channels,
                images["mean"],
                images["std"],
                images["mean_in_use"],
                images["std_in_use"],
                strict=True,
            )
        ],
    )
    page.code(images["paste"])


def files(page: Page, facts: Facts, widths: ArrayLike, heights: ArrayLike) -> None:
    """Sizes and formats of image files before they are resized."""
    found = facts["images"]["files"]
    page.section(
        "Files",
        "Sizes as the files have them; every image is resized to "
        f"{facts['images']['height']} x {facts['images']['width']} pixels.",
    )
    page.table(
        ["pixels", *found["width"]],
        [
            [side, *(Number(f"{value:,.0f}") for value in found[side].values())]
            for side in ("width", "height")
        ],
    )
    for title in ("formats", "modes"):
        page.text(f"{title}: " + ", ".join(f"{n:,} {name}" for name, n in found[title].items()))
    drawn = figures.scatter(
        "Sizes of the files", widths, heights, "width, pixels", "height, pixels"
    )
    page.pictures([chart(drawn, "sizes", "Points: width and height of every image file.")])


def lengths(page: Page, facts: Facts, tokens: ArrayLike, characters: ArrayLike) -> None:
    """How long the texts are, what is cut and what is unknown."""
    texts = facts["texts"]
    page.section(
        "Lengths",
        f"Texts longer than data.max_length={texts['max_length']} {texts['unit']} are cut there.",
    )
    quantiles = texts["tokens"]
    page.table(
        ["all texts", *quantiles],
        [
            [name, *(Number(f"{value:,.0f}") for value in values.values())]
            for name, values in {
                "characters": texts["characters"],
                texts["unit"]: quantiles,
            }.items()
        ],
    )
    page.table(
        ["split", "texts cut", "share cut", f"unknown {texts['unit']}"],
        [
            [split, found["cut"], Number(f"{found['cut_share']:.1%}", found["cut_share"]),
             Number(f"{found['unknown_share']:.2%}", found["unknown_share"])]
            for split, found in texts["splits"].items()
        ],
    )  # fmt: skip
    cut = (float(texts["max_length"]), "cut here")
    unit = texts["unit"]
    drawn = [
        (figures.histogram(f"Length in {unit}", tokens, unit, "texts", cut), "tokens"),
        (
            figures.histogram("Length in characters", characters, "characters", "texts"),
            "characters",
        ),
    ]
    page.pictures(
        chart(figure, f"lengths-{name}", f"Histogram: length of the texts in {name}.")
        for figure, name in drawn
        if name == "tokens" or unit != "characters"
    )


def words(page: Page, facts: Facts) -> None:
    """What each class says more often than the others."""
    texts = facts["texts"]
    page.section(
        "Distinctive " + texts["unit"],
        "What sets a class of the training split apart from the rest: occurrences among 1,000 "
        "here and elsewhere, ordered by the log-odds ratio in standard deviations (z; Monroe and "
        "others 2008).",
    )
    for name, found in texts["distinctive"].items():
        rows: list[list[Cell]] = [
            [
                shown(row["token"]),
                *(Number(f"{row[key]:.2f}") for key in ("here", "elsewhere")),
                Number(f"{row['z']:.1f}"),
            ]
            for row in found
        ]
        page.table([texts["unit"], "here", "elsewhere", "z"], rows, caption=name)


def shown(token: str) -> str:
    """A token with its blanks made visible."""
    return token.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")


COPIES = {"exact": "Copies", "alike": "Nearly the same"}
RULES = {
    "images": "Images with the same pixels, as the data set yields them: decoded, and image files "
    "resized and cut to their square.",
    "texts": "Texts that are the same but for upper and lower case and the kind and length of "
    "blanks.",
    "alike": "Different pixels, but the same 8 x 8 difference hash and closely correlated grey "
    "pixels: another size, compression, brightness or frame of one photograph. Simple drawings "
    "can be this alike by chance. {left_out:,} images are too plain or too small for it and were "
    "not compared.",
}


def copies(page: Page, facts: Facts, pictures: Mapping[str, Sequence[Picture]]) -> None:
    """Duplicates within and between splits, with examples."""
    page.section("Duplicates")
    rules = {**RULES, "exact": RULES["images" if "images" in facts else "texts"]}
    for kind, found in facts["duplicates"].items():
        page.heading(f"{COPIES[kind]}: {groups(found)}")
        page.text(rules[kind].format(**found))
        if not found["groups"]:
            continue
        counts = {f"again within {split}": n for split, n in found["within"].items()}
        counts |= {pair.replace(" in ", " also in "): n for pair, n in found["between"].items()}
        counts["groups with different labels"] = found["conflicts"]
        page.table(["samples", "number"], [[name, n] for name, n in counts.items()])
        if pictures.get(kind):
            page.pictures(pictures[kind])
        else:
            page.table(["text", "one", "other"], [_text_pair(pair) for pair in found["examples"]])
        page.text("All of them are listed in duplicates.csv.")


def _text_pair(pair: Facts) -> list[str]:
    return [excerpt(pair["text"]), place(pair["one"]), place(pair["other"])]


def groups(found: Facts) -> str:
    """How many groups, in words."""
    number = found["groups"]
    return "none" if not number else "1 group" if number == 1 else f"{number:,} groups"


def place(sample: Facts) -> str:
    """Where a sample is from and what it is called."""
    name = sample["file"] or f"row {sample['row']}"
    return f"{sample['split']} · {sample['label']} · {name}"


def excerpt(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"


def image_samples(page: Page, sheets: Sequence[tuple[str, bytes]], of: int, rows: str) -> None:
    """A contact sheet a class."""
    page.section("Samples", rows)
    _say_rest(page, len(sheets), of)
    for number, (name, content) in enumerate(sheets):
        page.heading(name)
        alt = f"Samples of the class {name}."
        page.pictures([Picture(content, alt, name=f"samples-{number}", scrolls=True)])


def text_samples(page: Page, samples: Mapping[str, Sequence[str]], of: int) -> None:
    """The beginnings of some texts a class."""
    page.section("Samples", "Drawn at random from the training split.")
    _say_rest(page, len(samples), of)
    for name, texts in samples.items():
        page.heading(name)
        page.points(excerpt(text) for text in texts)


def _say_rest(page: Page, shown_classes: int, of: int) -> None:
    if shown_classes < of:
        page.text(f"{shown_classes} of {of} classes; max_classes_shown={of} shows all.")
