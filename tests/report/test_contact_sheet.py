"""Contact sheets: the least sure pictures, on a grid, with their words."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from burnish.report.contact_sheet import LeastSure, Shown, sheet

COLOURS = np.random.default_rng(0).integers(60, 200, (200, 3, 1, 1), dtype=np.uint8)


def picture(number: int) -> np.ndarray:
    return np.broadcast_to(COLOURS[number], (3, 8, 8))


def test_the_least_sure_are_kept_in_order_and_only_they_are_read() -> None:
    rng = np.random.default_rng(1)
    sure = rng.choice([0.5, 0.6, 0.7, 0.9], 200)
    read: list[int] = []
    kept = LeastSure(("a", "b"), lambda number: read.append(number) or picture(number), most=30)
    for number, share in enumerate(sure):
        kept.add(f"{number}.png", number, np.float32([1 - share, share]))
    expected = np.argsort(sure, kind="stable")[:30].tolist()
    shown = kept.shown()
    assert read == expected
    assert [one.name for one in shown] == [f"{number}.png" for number in expected]
    assert {one.label for one in shown} <= {"a", "b"}
    np.testing.assert_allclose([one.confidence for one in shown], sure[expected], rtol=1e-6)
    assert kept.total == 200


def test_all_pictures_are_on_the_sheet() -> None:
    shown = [Shown(f"folder/{i}.png", picture(i), "class", 0.5) for i in range(13)]
    image = np.asarray(Image.open(io.BytesIO(sheet(shown, 13))).convert("RGB"))
    for i in range(13):
        same = (image == COLOURS[i].ravel()).all(2)
        assert same.sum() > 200**2  # 1.4 inches of 192 pixels a side
    few = np.asarray(Image.open(io.BytesIO(sheet(shown[:1], 1))).convert("RGB"))
    assert few.shape[1] < image.shape[1]


def test_names_are_anybodys() -> None:
    names = ["猫" * 40, "$x^2$ \\frac", "a\nb\tc", "\udcff.png", "\U0010fffd" * 3, ""]
    shown = [Shown(name, picture(0), name, 0.999) for name in names]
    assert sheet(shown, 10_000).startswith(b"\x89PNG")
    assert sheet(shown[:2], 10_000, "pdf").startswith(b"%PDF")


def test_wide_and_grey_pictures() -> None:
    shown = [Shown("a", np.full((1, 10, 40), 128, np.uint8), "a", 1.0)]
    image = Image.open(io.BytesIO(sheet(shown, 1)))
    same = (np.asarray(image.convert("RGB")) == 128).all(2)
    assert same.any(1).sum() * 3 < same.any(0).sum()
