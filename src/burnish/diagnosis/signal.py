"""Do the inputs tell the classes apart at all? A cheap probe finds out before a net tries.

It catches labels that were shuffled, or shifted against their inputs. What a cheap probe is blind
for, as the order of words, a second one may see, or the run's own net: both are asked before
anything is called broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import binom, binomtest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import MultinomialNB
from torch import Tensor

from burnish.data.base import DataModule
from burnish.data.loading import Batch, InMemory, Source
from burnish.diagnosis.steps import Steps, seeded
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Status, Verdict
from burnish.spec import PAD, Spec, TextSpec

# Features, an array or a sparse matrix of one row a sample, and labels.
Samples = tuple[Any, NDArray[np.int64]]
Rows = list[tuple[Source, list[int]]]

# The probe learns from so many samples and is scored on so many others. Of the 45 pairs of
# CIFAR-10's classes the hardest, cat and dog, stands out with these at p = 1e-18, with half of
# them at 0.02.
TRAIN, SCORED = 2000, 1000
# Files are decoded for it: about 350 JPEGs of 256 pixels a second and core.
FILES = 0.5
# More classes would leave too few samples of each, and cost the trees memory.
MOST_CLASSES = 20
SIDE = 16  # pixels: images are averaged down to it
FINE_SIDE = 64  # ... and for their spectrum to this
HASHES = 2**18  # features of tokens and their pairs
# Of the run's own net: as a bilstm needs a single pass to find the order of two words.
PASSES, SECONDS = 10, 20.0
MOST_BATCH = 64  # larger ones would leave too few steps
HURRIED = (
    "the probes see nothing, and the net had no time to learn: if val/accuracy stays at chance for "
    "an epoch, look at samples with their labels (explore)"
)
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

    Where that finds nothing though it should, the images' spectrum or pairs of tokens are looked
    at, and at last the run's own net is trained on the same samples for some seconds.
    """
    tried: dict[str, Probe] = {}
    for name, probe in _looks(subject):
        tried[name] = probe
        status, advice = _judge(probe)
        if status != "broken":
            break
    if len(tried) > 1 and probe.train < ENOUGH_TRAIN:
        advice = HURRIED
    hits = ", ".join(f"{name} gets {x.hits / x.scored:.1%}" for name, x in tried.items())
    return Verdict(
        "signal",
        status,
        f"{hits} of {probe.scored:,} unseen samples right, chance {probe.chance:.1%}",
        advice,
        {
            "train": probe.train, "scored": probe.scored, "hits": probe.hits,
            "chance": probe.chance, "p": probe.p, "tried": {name: x.p for name, x in tried.items()},
        },
    )  # fmt: skip


def _looks(subject: Subject) -> Iterator[tuple[str, Probe]]:
    """Ever dearer ways to tell the classes apart."""
    data, classes = subject.data, subject.data.spec.num_classes
    learn, ask = _rows(data)
    text = isinstance(data.spec, TextSpec)

    def seen(look: Callable[[Tensor, Spec], NDArray[Any]]) -> tuple[Samples, Samples]:
        return _features(data, learn, look), _features(data, ask, look)

    yield "a simple probe", probed(*seen(_vectors), classes, text)
    if text:
        learned, asked = seen(_sentences)
        yield "a probe of token pairs", probed(_paired(learned), _paired(asked), classes, text)
    else:
        yield "a probe of the spectrum", probed(*seen(_amplitudes), classes, text)
    yield "the net itself, trained briefly,", _own_net(subject, learn, ask)


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

    @classmethod
    def of(
        cls, train: int, predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int
    ) -> Probe:
        """Count the hits of predictions, int64 ``[N]`` as the labels."""
        # Some nets have more outputs than there are classes.
        shares = [np.bincount(a, minlength=classes)[:classes] / len(a) for a in (predicted, labels)]
        hits = int((predicted == labels).sum())
        return cls(train, len(labels), hits, float(shares[0] @ shares[1]))

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
        "labels have nothing to do with the inputs as far as probes and the net can see: shuffled, "
        "or shifted against their files? Look at samples with their labels: burnish explore"
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
    return Probe.of(len(learn[1]), model.fit(*learn).predict(ask[0]), ask[1], classes)


def _own_net(subject: Subject, learn: Rows, ask: Rows) -> Probe:
    """What a fresh net of the run, trained for some passes, gets right.

    Nothing is augmented. It has learned from no sample if its loss is not finite, or if nothing
    of it is trained.
    """
    with seeded(subject):
        steps = Steps(subject)
        trained = any(p.requires_grad for p in steps.module.net.parameters())
        met = _train(steps, subject, learn) if trained else 0
        net = steps.module.net.eval()
        found, labels = [], []
        with torch.no_grad():
            for inputs, targets in _batches(subject.data, ask):
                found.append(net(inputs.to(subject.device)).argmax(1).cpu().numpy())
                labels.append(targets.numpy())
    classes = subject.data.spec.num_classes
    return Probe.of(met, np.concatenate(found), np.concatenate(labels), classes)


def _train(steps: Steps, subject: Subject, learn: Rows) -> int:
    """How many samples it met, each counted once."""
    [(source, rows)] = learn
    size = max(2, min(subject.data.batch_size, MOST_BATCH))  # batch normalisation needs two
    whole, met, started = len(rows) // size, 0, time.monotonic()
    for number in range(PASSES * whole):
        if time.monotonic() - started > SECONDS:
            break
        if number % whole == 0:
            order = torch.tensor(rows)[torch.randperm(len(rows))]
        chosen = order[number % whole * size :][:size].tolist()
        [(inputs, targets)] = _batches(subject.data, [(source, chosen)])
        loss = steps.step(inputs.to(subject.device), targets.to(subject.device))
        if not bool(torch.isfinite(loss)):
            return 0
        met += size
    return min(met, len(rows))


def _rows(data: DataModule) -> tuple[Rows, Rows]:
    """Samples to learn from, and others: of validation, then of what is left."""
    source, rows = data.splits["train"]
    rng = np.random.default_rng(0)
    part = 1.0 if isinstance(source, InMemory) else FILES
    largest = np.argsort(data.class_counts["train"], kind="stable")[::-1][:MOST_CLASSES]
    train = _chosen(source, rows, largest, rng)
    most = min(round(part * TRAIN), round(0.7 * len(train)))
    val_source, val_rows = data.splits["val"]
    scored = round(part * SCORED)
    val = _chosen(val_source, val_rows, largest, rng)[:scored]
    rest = train[most : most + scored - len(val)]
    return [(source, train[:most])], [(val_source, val), (source, rest)]


def _chosen(
    source: Source, rows: Tensor, classes: NDArray[np.int64], rng: np.random.Generator
) -> list[int]:
    kept = rows.numpy()[np.isin(source.labels[rows].cpu().numpy(), classes)]
    order: list[int] = rng.permutation(kept).tolist()
    return order


def _batches(data: DataModule, parts: Rows) -> Iterator[Batch]:
    """Inputs as they are before any augmentation, and labels."""
    for source, rows in parts:
        for start in range(0, len(rows), MOST_BATCH):
            inputs, targets = source.__getitems__(rows[start : start + MOST_BATCH])
            yield data.preprocess(inputs), targets


def _features(
    data: DataModule, parts: Rows, look: Callable[[Tensor, Spec], NDArray[Any]]
) -> Samples:
    """What a look at each sample sees."""
    features, labels = [], [np.zeros(0, np.int64)]
    for inputs, targets in _batches(data, parts):
        features.append(look(inputs, data.spec))
        labels.append(targets.numpy())
    return np.concatenate(features or [np.zeros((0, 1))]), np.concatenate(labels)


def _vectors(inputs: Tensor, spec: Spec) -> NDArray[np.float32]:
    """One vector a sample: pixels, or counts of tokens."""
    if isinstance(spec, TextSpec):
        counts = torch.zeros(len(inputs), spec.vocabulary_size)
        counts.scatter_add_(1, inputs, torch.ones(inputs.shape))
        counts[:, PAD] = 0
        return counts.numpy()
    return _averaged(inputs, SIDE).flatten(1).numpy()


def _amplitudes(images: Tensor, spec: Spec) -> NDArray[np.float32]:
    """Of the spectrum: textures, wherever in the image they are."""
    amplitudes: Tensor = torch.fft.rfft2(_averaged(images, FINE_SIDE)).abs()
    return amplitudes.flatten(1).numpy()


def _averaged(images: Tensor, side: int) -> Tensor:
    height, width = (min(length, side) for length in images.shape[-2:])
    if (height, width) == tuple(images.shape[-2:]):
        return images
    return F.interpolate(images, (height, width), mode="area")


def _sentences(inputs: Tensor, spec: Spec) -> NDArray[np.object_]:
    """Ids in words, without padding."""
    rows = [" ".join(str(i) for i in row if i != PAD) for row in inputs.tolist()]
    return np.array(rows, dtype=object)


def _paired(sentences: Samples) -> Samples:
    """Counts of tokens and of two in a row, hashed."""
    hashing = HashingVectorizer(
        token_pattern=r"\S+", ngram_range=(1, 2), n_features=HASHES, alternate_sign=False,
        norm=None,
    )  # fmt: skip
    return hashing.transform(sentences[0]), sentences[1]
