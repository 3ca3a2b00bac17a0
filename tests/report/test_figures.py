"""Figures show the numbers they are given, in both themes, and leave no global state behind."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font
from PIL import Image

from burnish.report import figures, fonts
from burnish.report.figures import DARK, LIGHT, bars, clipped, columns, histogram, scatter
from burnish.report.pictures import GAP, sheet


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def colour(text: str) -> list[int]:
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


def painted(image: np.ndarray, text: str) -> int:
    return int((image == colour(text)).all(-1).sum())


def test_bars_are_as_long_as_their_values():
    drawn = bars("Samples", ["a", "b"], {"train": [30, 10], "val": [10, 10]}, "samples")
    for content, theme in ((drawn.light, LIGHT), (drawn.dark, DARK)):
        image = pixels(content)
        assert image[0, 0].tolist() == colour(theme.paper)
        first, second = (painted(image, name) for name in theme.colours[:2])
        assert first / second == pytest.approx(2.0, rel=0.1)  # 40 to 20, the legend aside


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("layer.conv", 10, "layer.conv"),
        ("layer.conv1", 10, "layer.con…"),
        ("蚂蚁蜜蜂", 8, "蚂蚁蜜蜂"),
        ("蚂蚁蜜蜂a", 8, "蚂蚁蜜…"),
        ("a蚂蚁蜜蜂", 8, "a蚂蚁蜜…"),
        ("an  ant\nor two", 8, "an ant…"),
        ("", 8, ""),
    ],
)
def test_long_texts_are_cut_at_their_end(text, most, shown):
    assert clipped(text, most) == shown
    assert columns(shown) <= most


@pytest.mark.filterwarnings("error")  # matplotlib's, where no room is left for the axes
def test_bars_have_room_beside_long_names():
    plain, long = (pixels(bars("x", [n], {"train": [1]}, "u").light) for n in ("a", "n" * 120))
    assert painted(long, LIGHT.colours[0]) > painted(plain, LIGHT.colours[0]) / 2


def test_a_title_is_whole_beside_long_names():
    """The bars are narrow then, the title is not: no ink at the right edge."""
    drawn = bars("A title " * 5, ["w" * 24], {"train": [1]}, "u")
    assert (pixels(drawn.light)[:, -4:] == colour(LIGHT.paper)).all()


def test_a_legend_is_there_for_several_series_only():
    one = pixels(bars("x", ["a"], {"train": [1]}, "samples").light)
    two = pixels(bars("x", ["a"], {"train": [1], "val": [0]}, "samples").light)
    assert painted(one, LIGHT.colours[1]) == 0
    assert painted(two, LIGHT.colours[1]) > 100


def test_many_labels_become_a_curve_of_the_same_size():
    labels = [str(i) for i in range(500)]
    drawn = bars("x", labels, {"train": list(range(500))}, "samples")
    assert pixels(drawn.light).shape[0] == int(figures.HEIGHT * figures.DPI)


@pytest.mark.parametrize(
    "values",
    [[3], [5, 5, 5], [1, 2, 100_000], list(range(1000))],
    ids=["one", "equal", "outlier", "many"],
)
def test_histograms_of_all_kinds(values):
    image = pixels(histogram("x", values, "words", "texts", mark=(4, "cut here")).light)
    assert painted(image, LIGHT.colours[0]) > 100
    assert painted(image, LIGHT.colours[1]) > 100


@pytest.mark.parametrize("reach", [0, 2000])
def test_every_value_is_counted_in_bins_of_a_whole_width(reach):
    values = np.random.default_rng(0).geometric(0.01, 5000)
    bins, last = figures.edges(values, reach)
    counts, _ = np.histogram(values.clip(max=last), bins)
    assert counts.sum() == 5000
    width = round(bins[1] - bins[0])
    assert (np.diff(bins) == width).all()
    assert counts[1] == ((values >= bins[1]) & (values <= bins[1] + width)).sum()
    assert len(counts) <= figures.MOST_BINS + 1
    assert bins[-1] > max(np.quantile(values, 0.98), reach)


def test_the_style_stays_in_the_figure():
    before = dict(mpl.rcParams)
    scatter("x", [1, 2], [3, 4], "width", "height")
    assert dict(mpl.rcParams) == before


def test_names_in_any_script():
    assert fonts.undrawable(["Ameise", "муравей", "μέλισσα", "a b\n"]) == ""
    assert fonts.families(["Ameise"]) == (fonts.OWN,)
    # Whether the machine has a CJK font or not: what is chosen can draw it, or it is named.
    chosen, missing = fonts.families(["蚂蚁"]), fonts.undrawable(["蚂蚁"])
    paths = [mpl.font_manager.findfont(family) for family in chosen]
    drawable = {
        letter for letter in "蚂蚁" for p in paths if ord(letter) in FT2Font(p).get_charmap()
    }
    assert set(missing) == set("蚂蚁") - drawable
    # A private letter that no font has.
    assert fonts.undrawable(["a\U0010fffd"]) == "\U0010fffd"
    assert "CJK" in fonts.advice("蚂")


def test_sheets_hold_the_pixels_of_small_images():
    rows = np.random.default_rng(0).integers(0, 256, (2, 3, 1, 24, 24), dtype=np.uint8)
    found = pixels(sheet(list(rows)))
    assert found.shape == (2 * 48 + GAP, 3 * 48 + 2 * GAP, 3)
    cell = found[48 + GAP :, 2 * (48 + GAP) :]
    np.testing.assert_array_equal(cell[::2, ::2, 0], rows[1, 2, 0])
    np.testing.assert_array_equal(cell[1::2, 1::2, 2], rows[1, 2, 0])


def test_sheets_of_photographs_are_reduced():
    content = sheet([np.full((2, 3, 300, 150), 200, np.uint8)])
    assert content.startswith(b"\xff\xd8")
    image = pixels(content)
    assert image.shape == (112, 2 * 56 + GAP, 3)
    assert abs(int(image[50, 20, 0]) - 200) <= 2
