"""Whatever people have, files, pictures, arrays, tensors, texts, gives what the net computes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import burnish
from burnish.deploy.predictor import Predictor, load_bundle, softmax
from burnish.errors import ConfigError, DataError
from burnish.spec import ImageSpec
from deploy.bundles import IMAGES, image_bundle, image_logits, probabilities, text_bundle

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 3, 6, 8), dtype=np.uint8)
LAST = PIXELS.transpose(0, 2, 3, 1)  # [N, H, W, C]
SAID = probabilities(image_logits(PIXELS))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Predictor:
    return load_bundle(image_bundle(tmp_path_factory.mktemp("images")).path)


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> tuple[Predictor, ImageSpec]:
    spec = ImageSpec(1, 6, 8, ("a", "b"), (0.5,), (0.25,))
    return load_bundle(image_bundle(tmp_path_factory.mktemp("grey"), spec).path), spec


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_every_form_of_a_picture_is_the_same_picture(images: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(LAST[0]))
    opaque = np.concatenate([LAST[0], np.full((6, 8, 1), 255, np.uint8)], axis=2)
    forms = [
        file, str(file), png(LAST[0]), Image.fromarray(LAST[0]), LAST[0], LAST[0] / 255,
        (LAST[0] / 255).astype(np.float32), torch.from_numpy(PIXELS[0]),
        torch.from_numpy(PIXELS[0]) / 255, opaque, Image.fromarray(LAST[0]).convert("RGBA"),
    ]  # fmt: skip
    for form in forms:
        np.testing.assert_allclose(images.predict(form).probabilities, SAID[:1], rtol=1e-5)
    together = images.predict(forms, batch_size=4).probabilities
    np.testing.assert_allclose(together, SAID[[0] * len(forms)], rtol=1e-5)


def test_large_logits_have_probabilities() -> None:
    found = softmax(np.array([[1000, 999, -1000], [-800, -800, -800]], dtype=np.float32))
    e = np.e
    expected = [[e / (1 + e), 1 / (1 + e), 0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_outer_blanks_of_a_text_count_as_little_as_in_training(tmp_path: Path) -> None:
    predictor = load_bundle(text_bundle(tmp_path).path)
    bare = predictor.predict("abc").probabilities
    for text in ("  abc", "abc\r\n", "\ufeff abc\t"):
        np.testing.assert_array_equal(predictor.predict(text).probabilities, bare)


def test_batches_in_one_array(images: Predictor) -> None:
    batches = [LAST, LAST / 255, torch.from_numpy(PIXELS), tuple(LAST), list(torch.tensor(PIXELS))]
    for batch in batches:
        predicted = images.predict(batch, batch_size=2)
        np.testing.assert_allclose(predicted.probabilities, SAID, rtol=1e-5)
    assert predicted.classes.tolist() == SAID.argmax(1).tolist()
    assert predicted.labels == [IMAGES.class_names[i] for i in SAID.argmax(1)]
    np.testing.assert_allclose(predicted.confidence, SAID.max(1), rtol=1e-5)
    assert [name for name, _ in predicted.top(2)[1]] == [
        IMAGES.class_names[i] for i in np.argsort(-SAID[1])[:2]
    ]


def test_grey_images_need_no_channels(grey: tuple[Predictor, ImageSpec]) -> None:
    predictor, spec = grey
    pixels = np.random.default_rng(6).integers(0, 256, (5, 1, 6, 8), dtype=np.uint8)
    expected = probabilities(image_logits(pixels, spec))
    for batch in (pixels[:, 0], pixels[:, 0, :, :, None], torch.from_numpy(pixels)):
        np.testing.assert_allclose(predictor.predict(batch).probabilities, expected, rtol=1e-5)
    one = predictor.predict(pixels[0, 0])
    np.testing.assert_allclose(one.probabilities, expected[:1], rtol=1e-5)
    with pytest.raises(DataError, match="are unclear: put channels last"):
        predictor.predict(pixels[:3, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "the inputs are empty"),
        ([LAST[0], 3], "^input 1 of 2: an image must be a path"),
        ([LAST[0], LAST[1], b"hello"], "^input 2 of 3: not an image"),
        (LAST.astype(np.int64), r"^input 0 of 3: pixels must be uint8 or floats .* int64"),
        (LAST[0].astype(np.float32), r"^pixels as floats must lie in \[0, 1\], found"),
        (np.full((6, 8), np.nan), "must lie in"),
        (np.zeros((6, 8, 5), np.uint8), r"^pixels must be .* uint8 \[6, 8, 5\]$"),
        (np.zeros((0, 8, 3), np.uint8), "pixels must be"),
        (Path("nowhere.png"), "^nowhere.png: no such file or directory$"),
        (["/"], "^/: is a directory$"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "^HEIC, which Pillow does not read; save it as JPEG$"),
        (b"P6 " + b"1" * 40, "^Token too long in file header$"),
        (b"P6 \xff 1 255 ", "^invalid literal for int.. with base 10$"),
    ],
)
def test_what_is_no_picture_is_named(images: Predictor, wrong: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        images.predict(wrong)


def test_texts_in_lists_and_arrays(tmp_path: Path) -> None:
    predictor = burnish.load_predictor(text_bundle(tmp_path / "texts").path)
    both = predictor.predict(["abc", "hg"]).probabilities
    for form in (("abc", "hg"), np.array(["abc", "hg"]), np.array(["abc", "hg"], dtype=object)):
        np.testing.assert_array_equal(predictor.predict(form).probabilities, both)
    np.testing.assert_allclose(predictor.predict("hg").probabilities, both[1:], rtol=1e-6)
    with pytest.raises(DataError, match=r"^input 1 of 2: a text must be a string, found int$"):
        predictor.predict(["abc", 3])
    with pytest.raises(DataError, match=r"^a text must be a string, found bytes$"):
        predictor.predict(b"abc")


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    predictor = load_bundle(text_bundle(tmp_path).path)
    with pytest.raises(DataError, match=r"^input 1 of 2: the text is empty$"):
        predictor.predict(["abc", " \n"])


def test_numbers_that_nothing_can_be_done_with_are_refused(tmp_path: Path) -> None:
    bundle = text_bundle(tmp_path).path
    with pytest.raises(DataError, match=r"^predict: batch_size must be at least 1, found 0$"):
        load_bundle(bundle).predict("abc", batch_size=0)
    for threads in (0, -5, 100_000):
        with pytest.raises(ConfigError, match=rf"^threads: must be 1 to .* found {threads}$"):
            burnish.load_predictor(bundle, threads=threads)


def test_a_photograph_of_a_telephone_is_named(images: Predictor, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1")
    with pytest.raises(DataError, match=r"a\.jpg: HEIC, .* save it as JPEG$"):
        images.predict(file)
