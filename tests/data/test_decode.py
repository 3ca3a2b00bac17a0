from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from burnish.data.decode import find_damage, read_image, to_rgb
from burnish.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(30, 41), (41, 30), (33, 33), (64, 17)])
@pytest.mark.parametrize("side", [8, 15, 50])
def test_resizes_and_cuts_like_torchvision(
    tmp_path: Path, shape: tuple[int, int], side: int
) -> None:
    pixels = np.resize(PIXELS, (*shape, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    reference = v2.Compose([v2.Resize(side), v2.CenterCrop(side), v2.PILToTensor()])
    expected = reference(Image.open(tmp_path / "a.png"))
    assert np.array_equal(read_image(tmp_path / "a.png", side, side), expected)


def test_large_jpegs_are_decoded_reduced_but_look_the_same(tmp_path: Path) -> None:
    coarse = Image.fromarray(PIXELS[:6, :8]).resize((800, 600), Image.Resampling.BICUBIC)
    coarse.save(tmp_path / "a.jpg", quality=95)
    exact = v2.Compose([v2.Resize(32), v2.CenterCrop(32), v2.PILToTensor()])
    decoded = torch.from_numpy(read_image(tmp_path / "a.jpg", 32, 32))
    difference = decoded.float() - exact(Image.open(tmp_path / "a.jpg"))
    assert difference.abs().max() <= 8
    assert difference.abs().mean() <= 1


def test_grey_palette_and_16_bit_become_rgb() -> None:
    grey = Image.fromarray(PIXELS[..., 0])
    expected = np.repeat(PIXELS[..., :1], 3, axis=2)
    assert np.array_equal(to_rgb(grey), expected)
    palette = Image.fromarray(PIXELS).quantize(16)
    assert np.array_equal(to_rgb(palette), palette.convert("RGB"))
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert np.array_equal(to_rgb(deep), expected)
    assert np.array_equal(to_rgb(deep.convert("I")), expected)


def test_transparency_lies_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = [0, 255, 51]  # a fifth of (200, 0, 0) on white: (244, 204, 204)
    expected = [[255, 255, 255], [200, 0, 0], [244, 204, 204]]
    assert np.array(to_rgb(Image.fromarray(rgba)))[0].tolist() == expected
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.info["transparency"] = 1
    assert np.array(to_rgb(palette))[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_floats_are_refused_and_not_made_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "a.tiff")
    assert "32-bit floats" in (find_damage(tmp_path / "a.tiff") or "")
    with pytest.raises(DataError, match=r"a\.tiff: its pixels are 32-bit floats"):
        read_image(tmp_path / "a.tiff", 4, 4)


def test_a_strip_is_not_resized_to_gigabytes(tmp_path: Path) -> None:
    Image.new("L", (100_000, 1)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="too narrow"):
        read_image(tmp_path / "a.png", 224, 224)


def test_cmyk_files_show_their_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (32, 32), (220, 30, 40))
    red.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert Image.open(tmp_path / "a.jpg").mode == "CMYK"
    middle = read_image(tmp_path / "a.jpg", 16, 16)[:, 8, 8]
    assert np.allclose(middle, [220, 30, 40], atol=4)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_turns_the_picture_upright(
    tmp_path: Path, orientation: int, undo: Image.Transpose
) -> None:
    upright = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.transpose(undo).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(to_rgb(Image.open(tmp_path / "a.png")), PIXELS)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.webp", "progressive.jpg"])
def test_finds_truncated_files(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    Image.fromarray(np.resize(PIXELS, (120, 160, 3))).save(file, progressive="prog" in name)
    assert find_damage(file) is None
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.9)])
    assert find_damage(file) is not None
    with pytest.raises(DataError, match=f"{name}: "):
        read_image(file, 16, 16)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0" + bytes(50)])
def test_finds_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert find_damage(tmp_path / "a.jpg")
