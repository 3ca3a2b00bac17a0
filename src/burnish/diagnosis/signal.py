"""Do the inputs tell the classes apart at all? A cheap probe finds out before a net tries.

It catches labels that were shuffled, or shifted against their inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import binom, binomtest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.naive_bayes import MultinomialNB
from torch import Tensor

from burnish.data.base import DataModule
from burnish.data.loading import InMemory, Source
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Status, Verdict
from burnish.spec import PAD, Spec, TextSpec

Samples = tuple[NDArray[np.float32], NDArray[np.int64]]

# The probe learns from so many samples and is scored on so many others. Of the 45 pairs of
# CIFAR-10's classes the hardest, cat and dog, stands out with these at p = 1e-18, with half of
# them at 0.02.
TRAIN, SCORED = 2000, 1000
# Files are decoded for it: about 350 JPEGs of 256 pixels a second and core.
FILES = 0.5
# More classes would leave too few samples of each, and cost the trees memory.
MOST_CLASSES = 20
SIDE = 16  # pixels: images are averaged down to it
# Found: chance gives such a figure once in a thousand healthy-looking broken data sets.
FOUND = 1e-3
# Not found: a figure that chance alone would give or beat in more than one case of a hundred.
NOT_FOUND = 1e-2
# Only a probe with so many samples may call labels meaningless: with fewer, photographs often look
# alike to it.
ENOUGH_TRAIN = 800
# ... and only if it would have noticed one that closes this share of the gap from chance to
# perfection, in 9 of 10 cases.
GAIN, POWER = 0.15, 0.9


def check(subject: Subject) -> Verdict:
    """Compare a probe's hits on unseen samples with chance.

    Images, averaged down to 16 pixels, go to extremely randomised trees (Geurts et al. 2006), token
    counts to naive Bayes. Chance is the agreement of predictions and labels that have nothing to do
    with one another but their frequencies (Cohen 1960); the test is binomial and one-sided.
    """
    spec = subject.data.spec
    learn, ask = _samples(subject.data)
    probe = probed(learn, ask, spec.num_classes, text=isinstance(spec, TextSpec))
    status, advice = _judge(probe)
    chance = f"{probe.hits / probe.scored:.1%} of {probe.scored:,} unseen samples"
    return Verdict(
        "signal",
        status,
        f"a simple probe gets {chance} right, chance {probe.chance:.1%}",
        advice,
        {
            "train": probe.train, "scored": probe.scored, "hits": probe.hits,
            "chance": probe.chance, "p": probe.p,
        },
    )  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """What the probe reached.

    Args:
        train: samples that it learned from.
        scored: other samples that it was asked about.
        hits: those that it got right.
        chance: share that it would get right if labels had nothing to do with inputs.
    """

    train: int
    scored: int
    hits: int
    chance: float

    @property
    def p(self) -> float:
        """Probability of so many hits or more by chance."""
        return float(binomtest(self.hits, self.scored, self.chance, "greater").pvalue)

    @property
    def power(self) -> float:
        """Probability that a true gain of :data:`GAIN` over chance would be found."""
        needed = binom.isf(FOUND, self.scored, self.chance) + 1
        return float(binom.sf(needed - 1, self.scored, self.chance + GAIN * (1 - self.chance)))


def _judge(probe: Probe) -> tuple[Status, str]:
    if probe.p < FOUND:
        return "ok", ""
    if probe.train < ENOUGH_TRAIN or probe.power < POWER:
        return "note", "too few samples to tell whether labels and inputs belong together"
    if probe.p < NOT_FOUND:
        return "note", "hardly better than chance: look at some samples with their labels (explore)"
    return "broken", (
        "labels have nothing to do with the inputs as far as a probe can see: shuffled, or "
        "shifted against their files? Look at samples with their labels: burnish explore"
    )


def probed(learn: Samples, ask: Samples, classes: int, text: bool) -> Probe:
    """Fit a probe and count its hits.

    Args:
        learn: features ``[N, F]`` and labels ``[N]`` to learn from.
        ask: others.
        classes: how many there are.
        text: whether features are counts of tokens.
    """
    model = MultinomialNB() if text else ExtraTreesClassifier(100, random_state=0)
    predicted, labels = model.fit(*learn).predict(ask[0]), ask[1]
    shares = [np.bincount(a, minlength=classes) / len(a) for a in (predicted, labels)]
    hits = int((predicted == labels).sum())
    return Probe(len(learn[1]), len(labels), hits, float(shares[0] @ shares[1]))


def _samples(data: DataModule) -> tuple[Samples, Samples]:
    """Features and labels to learn from, and others: of validation, then of what is left."""
    source, rows = data.splits["train"]
    rng = np.random.default_rng(0)
    part = 1.0 if isinstance(source, InMemory) else FILES
    largest = np.argsort(data.class_counts["train"], kind="stable")[::-1][:MOST_CLASSES]
    train = _chosen(source, rows, largest, rng)
    most = min(round(part * TRAIN), round(0.7 * len(train)))
    learn = _features(data, source, train[:most])
    val_source, val_rows = data.splits["val"]
    scored = round(part * SCORED)
    val = _chosen(val_source, val_rows, largest, rng)[:scored]
    parts = [_features(data, val_source, val)]
    if rest := scored - len(val):
        parts.append(_features(data, source, train[most : most + rest]))
    return learn, (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))


def _chosen(
    source: Source, rows: Tensor, classes: NDArray[np.int64], rng: np.random.Generator
) -> list[int]:
    kept = rows.numpy()[np.isin(source.labels[rows].cpu().numpy(), classes)]
    order: list[int] = rng.permutation(kept).tolist()
    return order


def _features(data: DataModule, source: Source, rows: list[int]) -> Samples:
    """One vector a sample: pixels as they are before any augmentation, or counts of tokens."""
    features, labels = [], [np.zeros(0, np.int64)]
    for start in range(0, len(rows), 64):
        inputs, targets = source.__getitems__(rows[start : start + 64])
        features.append(_vectors(data.preprocess(inputs), data.spec))
        labels.append(targets.numpy())
    if not features:
        return np.zeros((0, 1), np.float32), labels[0]
    return np.concatenate(features), np.concatenate(labels)


def _vectors(inputs: Tensor, spec: Spec) -> NDArray[np.float32]:
    if isinstance(spec, TextSpec):
        counts = torch.zeros(len(inputs), spec.vocabulary_size)
        counts.scatter_add_(1, inputs, torch.ones(inputs.shape))
        counts[:, PAD] = 0
        return counts.numpy()
    if max(inputs.shape[-2:]) > SIDE:
        height, width = (min(side, SIDE) for side in inputs.shape[-2:])
        inputs = F.interpolate(inputs, (height, width), mode="area")
    return inputs.flatten(1).numpy()
