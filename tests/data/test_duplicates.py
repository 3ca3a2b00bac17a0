"""Copies are found to the last pixel, look-alikes through resizing, and nothing else is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from burnish.data.duplicates import (
    Samples,
    alike_groups,
    correlation,
    difference_hashes,
    groups_of,
    image_digests,
    summarise,
    text_digests,
)


def tensor(image: Image.Image, size: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((size, size)))).permute(2, 0, 1)


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@pytest.fixture(scope="module")
def photographs() -> dict[str, Image.Image]:
    return {name: Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")}


def test_digests_are_equal_for_equal_pixels_alone():
    images = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8)
    images[3] = images[1]
    images[4] = images[0]
    images[4, 2, 3, 5] ^= 1
    # Not contiguous: the digest is of the pixels, not of the memory.
    digests = image_digests(images.flip(-1).flip(-1).transpose(2, 3).contiguous().transpose(2, 3))
    assert digests.shape == (5,)
    assert digests.dtype == np.uint64
    assert len(set(digests.tolist())) == 4
    assert digests[3] == digests[1]
    assert digests.tolist() == image_digests(images).tolist()


def test_text_digests_ignore_case_and_blanks_and_nothing_else():
    same = ["Good  film", "good film ", "GOOD\tFILM", "good\u3000film"]
    assert len(set(text_digests(same).tolist())) == 1
    assert len(set(text_digests(["good film", "good film.", "goodfilm"]).tolist())) == 3


def test_the_difference_hash_of_a_ramp():
    row = torch.arange(0, 180, 20, dtype=torch.uint8)  # nine values: exactly the nine cells
    rising = row.repeat_interleave(2).expand(1, 1, 16, 18)
    images = torch.cat([rising, rising.flip(-1), torch.full_like(rising, 7)])
    hashes, telling = difference_hashes(images)
    assert hashes.tolist() == [2**64 - 1, 0, 0]
    assert telling.tolist() == [True, True, False]


def test_the_smallest_images_are_not_compared():
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    assert not difference_hashes(images)[1].any()


def test_correlation_is_numpys():
    images = torch.randint(0, 256, (4, 1, 9, 5), dtype=torch.uint8)
    flat = images.flatten(1).numpy()
    expected = [np.corrcoef(flat[0], other)[0, 1] for other in flat]
    np.testing.assert_allclose(correlation(images[:1], images), expected, atol=1e-6)


def test_look_alikes_are_versions_of_one_photograph(photographs):
    china, flower = photographs["china.jpg"], photographs["flower.jpg"]
    small = china.resize((320, 213), Image.Resampling.LANCZOS)
    darker = china.point(lambda value: int(0.8 * value))
    images = torch.stack(
        [tensor(i) for i in (flower, china, small, recompressed(china, 60), darker, flower)]
    )
    hashes, telling = difference_hashes(images)
    groups = alike_groups(hashes, telling, image_digests(images), lambda rows: images[rows])
    # The flower's second copy is the same to the last pixel: no matter of likeness.
    assert [group.tolist() for group in groups] == [[1, 2, 3, 4]]


def test_one_hash_is_not_enough():
    # Every row rises, so the hashes agree; one rises gently, the other jumps at its end.
    gentle = torch.linspace(0, 90, 36).expand(36, 36)
    noise = torch.rand(36, 1, generator=torch.manual_seed(0)) * 150
    images = torch.stack([gentle, gentle + noise]).to(torch.uint8).unsqueeze(1)
    hashes, telling = difference_hashes(images)
    assert telling.all()
    assert hashes[0] == hashes[1]
    assert correlation(images[:1], images)[1] < 0.9
    assert alike_groups(hashes, telling, image_digests(images), lambda rows: images[rows]) == []


def test_groups_of_some_rows():
    keys = np.array([5, 7, 5, 9, 7, 5], np.uint64)
    assert [group.tolist() for group in groups_of(keys)] == [[0, 2, 5], [1, 4]]
    assert [group.tolist() for group in groups_of(keys, np.array([0, 1, 3, 5]))] == [[0, 5]]
    assert groups_of(keys[:2]) == []


def test_counts_within_and_between_splits_by_hand():
    samples = Samples(
        ("train", "val", "test"),
        splits=np.array([0, 0, 0, 0, 1, 1, 2, 2, 2]),
        rows=np.arange(9),
        labels=np.array([0, 0, 1, 1, 0, 1, 0, 1, 1]),
    )
    groups = [np.array(group) for group in ([0, 1, 6, 7], [2, 3], [5, 8])]
    found = summarise(groups, samples)
    assert found.groups == 3
    # One repeats in train in each of the first two groups, one in test in the first.
    assert found.within == {"train": 2, "val": 0, "test": 1}
    assert found.between == {"val in train": 0, "test in train": 2, "test in val": 1}
    assert found.conflicts == 1
    # Different labels first, then different splits, then the rest.
    assert found.pairs == [(0, 7), (5, 8), (2, 3)]
    assert summarise(groups, samples, examples=1).pairs == [(0, 7)]
    assert summarise([], samples).conflicts == 0
