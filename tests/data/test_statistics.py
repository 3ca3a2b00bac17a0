"""Numbers about data sets, against hand-computed ones and numpy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from burnish.data.statistics import (
    PRIOR_TOKENS,
    distinctive_tokens,
    imbalance,
    log_odds,
    read_headers,
    spread,
)


@pytest.mark.parametrize(("counts", "ratio"), [([5, 5], 1), ([2, 9, 6], 4.5), ([3, 0], math.inf)])
def test_imbalance(counts, ratio):
    assert imbalance(counts) == ratio


def test_spread_names_quantiles():
    found = spread(range(101))
    assert found == {"min": 0, "5%": 5, "median": 50, "95%": 95, "max": 100, "mean": 50}


def test_headers_say_what_the_files_are(tmp_path):
    sizes = {"a.png": (30, 20), "b.jpg": (8, 50), "c.png": (7, 7)}
    for name, size in sizes.items():
        Image.new("L" if name == "c.png" else "RGB", size).save(tmp_path / name)
    found = read_headers([tmp_path / name for name in sizes])
    assert found.widths.tolist() == [30, 8, 7]
    assert found.heights.tolist() == [20, 50, 7]
    assert found.modes == {"RGB": 2, "L": 1}
    assert found.formats == {"PNG": 2, "JPEG": 1}


def test_headers_are_read_without_decoding(tmp_path):
    path = tmp_path / "cut.png"
    Image.effect_noise((200, 100), 50).save(path)
    path.write_bytes(path.read_bytes()[:200])
    assert read_headers([path]).widths.tolist() == [200]


def test_log_odds_are_logarithms_of_odds():
    counts, prior = np.array([6, 2, 0]), np.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(log_odds(counts, prior), [math.log(7 / 3), math.log(3 / 7), 0])


def test_distinctive_tokens_by_the_formula():
    counts = np.array([[40, 5, 0, 55], [10, 5, 30, 55]])
    total = counts.sum(0)
    (first, second) = distinctive_tokens(counts)

    def z(token: int, own: int) -> float:
        prior = PRIOR_TOKENS * total / total.sum()
        value, variance = 0.0, 0.0
        for sign, row in ((1, counts[own]), (-1, total - counts[own])):
            mass = row[token] + prior[token]
            value += sign * math.log(mass / (row.sum() + PRIOR_TOKENS - mass))
            variance += 1 / mass
        return value / math.sqrt(variance)

    assert [row.token for row in first] == [0]
    assert [row.token for row in second] == [2]
    assert first[0].z == pytest.approx(z(0, 0))
    assert second[0].z == pytest.approx(z(2, 1))
    assert (first[0].here, first[0].elsewhere) == (400, 100)


def test_common_tokens_and_lucky_ones_do_not_win():
    rng = np.random.default_rng(0)
    usual = np.concatenate([[5000.0], np.full(300, 1.0)])
    counts = np.stack([rng.poisson(usual), rng.poisson(usual)])
    # A word of middling frequency that one class really prefers.
    counts = np.concatenate([counts, [[60], [20]]], axis=1)
    assert distinctive_tokens(counts)[0][0].token == 301


def test_unused_tokens_and_top():
    counts = np.array([[3, 0, 9, 1], [1, 0, 1, 8]])
    assert all(row.token != 1 for found in distinctive_tokens(counts) for row in found)
    assert [len(found) for found in distinctive_tokens(counts, top=1)] == [1, 1]
