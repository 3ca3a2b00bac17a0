"""How often ``burnish watch`` cries wolf, and what it sees, on real pictures.

    python benchmarks/drift.py RUN BUNDLE [data.root=data]

RUN was trained on pictures, BUNDLE is its export. The reference is 2,000 pictures of the
validation split, made and read as an export's is; traffic goes through a recorder into a log and is
read back as the command does. Windows are drawn without replacement from the test split,
which the reference has never seen, 200 of each size; each is one look at alpha 0.01.

False alarms: windows of untouched pictures. Five references each, since one unlucky reference
would tell on all of its windows. For comparison the same with windows from the rest of the
validation split, which is of one distribution with the reference beyond doubt: where the first is
higher, net and split differ, not the test. Then looks of 20 windows, as the command takes them.
Detection: share of windows with drift, when the same pictures are changed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.ndimage import gaussian_filter

import burnish
from burnish.deploy.bundle import Bundle, read_bundle
from burnish.deploy.predictor import Predictor, of_bundle
from burnish.deploy.watch.drift import compare
from burnish.deploy.watch.reading import Logged, read_log
from burnish.deploy.watch.recorder import WRITTEN, Answered, Recorder
from burnish.deploy.watch.reference import MOST, Reference, make_reference, reference_of
from burnish.runs.console import table
from burnish.runs.folder import RunFolder

SIZES, WINDOWS, ALPHA, REFERENCES = (100, 250, 500), 200, 0.01, 5
QUEUED = 992  # predictions that wait to be written; a full queue would drop some
BATCH = 16  # as the service computes them
Array = np.ndarray


def changed(pixels: Array, kind: str, rng: np.random.Generator) -> Array:
    """uint8 ``[N, C, H, W]`` with a fault of a camera, or of the software behind it."""
    x = pixels.astype(np.float32)
    name, _, amount = kind.partition(" ")
    strength = float(amount or 0)
    if name == "blurred":
        x = gaussian_filter(x, (0, 0, strength, strength))
    elif name == "inverted":
        x = 255 - x
    elif name == "brightened":
        x += strength
    elif name == "noisy":
        x += rng.normal(0, strength, x.shape)
    elif name == "BGR":
        x = x[:, ::-1]
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


class Served:
    """A bundle as a service has it: every number below takes the way that it takes in earnest."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.predictor: Predictor = of_bundle(bundle)
        self.names = self.predictor.spec.class_names

    def logged(self, items: Sequence[object]) -> Logged:
        """Predictions through a recorder into a log, and read back."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "log.db"
            for start in range(0, len(items), QUEUED):
                recorder = Recorder(path, max_mb=1000)
                recorder.start()
                for first in range(start, min(start + QUEUED, len(items)), BATCH):
                    for answer in self._answered(items[first : first + BATCH], first):
                        recorder.record(answer)
                recorder.stop()
                assert recorder.counts.keys() == {WRITTEN}
            return read_log(path, self.bundle.version)

    def _answered(self, items: Sequence[object], first: int) -> Iterator[Answered]:
        made, version = self.predictor.preprocess, self.bundle.version
        found = self.predictor.predict_read(items)
        for i, answer in enumerate(zip(items, found.labels, found.confidence, strict=True), first):
            item, label, confidence = answer
            yield Answered(str(i), version, made, item, label, float(confidence), 1.0, float(i))

    def pictures(self, pixels: Array) -> Logged:
        """The same of uint8 ``[N, C, H, W]``; each counts, even if a fault makes two alike."""
        found = self.logged(list(pixels))
        return replace(found, hashes=list(map(str, range(len(found)))))

    def reference(self, items: Sequence[object]) -> Reference:
        """Written and read as an export's."""
        with TemporaryDirectory() as folder:
            RunFolder(Path(folder)).write_json("reference", make_reference(self.predictor, items))
            found = reference_of(replace(self.bundle, path=Path(folder)))
        assert found is not None
        return found


def rows_of(all_of: Logged, rows: Array) -> Logged:
    return replace(
        all_of,
        times=all_of.times[rows],
        hashes=[all_of.hashes[i] for i in rows],
        labels=[all_of.labels[i] for i in rows],
        values={name: values[rows] for name, values in all_of.values.items()},
    )


def share(found: Iterator[bool]) -> float:
    """NaN if there were too few pictures to look at."""
    each = list(found)
    return float(np.mean(each)) if each else np.nan


def looks(
    source: Logged, known: Reference, size: int, rng: np.random.Generator, pool: Array, many: int,
    weights: Array | None = None, windows: int = 1,
) -> Iterator[bool]:  # fmt: skip
    """Whether each of ``many`` looks finds drift."""
    for _ in range(many if len(pool) >= size * windows else 0):
        rows = rng.choice(pool, size * windows, replace=False, p=weights)
        yield any(w.drifted for w in compare(rows_of(source, rows), known, size, ALPHA))


def split(run: object, part: str) -> tuple[Array, Array]:
    source, rows = run.data.splits[part]  # type: ignore[attr-defined]
    pixels, labels = source.__getitems__(rows.tolist())[:2]
    return pixels.numpy(), labels.numpy()


def false_alarms(served: Served, pixels: Array, val: Logged, test: Logged) -> None:
    rng = np.random.default_rng(0)
    rows = [["windows of", *map(str, SIZES), "20 x 250"]]
    shares: dict[str, list[list[float]]] = {"test split": [], "rest of validation": []}
    for _ in range(REFERENCES):
        order = rng.permutation(len(val))
        known = served.reference(list(pixels[order[:MOST]]))
        for title, (source, pool) in {
            "test split": (test, np.arange(len(test))),
            "rest of validation": (val, order[MOST:]),
        }.items():
            one = [share(looks(source, known, n, rng, pool, WINDOWS)) for n in SIZES]
            whole = looks(source, known, 250, rng, pool, 20, windows=20)
            shares[title].append([*one, share(whole)])
    rows += [[title, *map(_spread, zip(*found, strict=True))] for title, found in shares.items()]
    print(f"False alarms, at most {ALPHA:.0%} wanted: mean (range) of {REFERENCES} references")
    print(table(rows) + "\n")


def _spread(shares: tuple[float, ...]) -> str:
    if np.isnan(shares).any():
        return ""
    low, mean, high = (100 * f(shares) for f in (min, np.mean, max))
    return f"{mean:.1f} % ({low:.1f} to {high:.1f})"


def detection(served: Served, known: Reference, test: Logged, pixels: Array, labels: Array) -> None:
    rng = np.random.default_rng(1)
    pool = np.arange(len(pixels))
    rows = [["pictures", "accuracy", *map(str, SIZES), "by, at 250"]]
    names = np.array(served.names)
    for kind in ("untouched", "blurred 0.5", "blurred 0.7", "blurred 1", "inverted", "BGR",
                 "brightened 10", "brightened 25", "brightened 60",
                 "noisy 5", "noisy 10", "noisy 25"):  # fmt: skip
        if kind == "BGR" and pixels.shape[1] != 3:
            continue
        seen = test if kind == "untouched" else served.pictures(changed(pixels, kind, rng))
        right = np.mean(np.array(seen.labels) == names[labels])
        found = [share(looks(seen, known, n, rng, pool, WINDOWS)) for n in SIZES]
        rows.append(_row(kind, right, found, seen, known, rng.choice(pool, 250, replace=False)))
    often = min(3, len(names) - 1)  # of CIFAR-10 the cats
    for times in (2, 3, 5):
        weights = np.where(labels == often, float(times), 1.0)
        weights /= weights.sum()
        found = [share(looks(test, known, n, rng, pool, WINDOWS, weights)) for n in SIZES]
        some = rng.choice(pool, 250, replace=False, p=weights)
        right = np.sum(weights * (np.array(test.labels) == names[labels]))
        rows.append(_row(f"{names[often]} {times} times as often", right, found, test, known, some))
    print(f"Detection: share of {WINDOWS} windows with drift")
    print(table(rows))


def _row(
    kind: str, right: float, found: list[float], seen: Logged, known: Reference, rows: Array
) -> list[str]:
    (window,) = compare(rows_of(seen, rows), known, 250, ALPHA)
    shown = [f"{100 * value:.1f} %" for value in (right, *found)]
    return [kind, *shown, ", ".join(window.drifted)]


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("bundle")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    begun = time.monotonic()
    served = Served(read_bundle(Path(given.bundle)))
    run = burnish.load_run(given.run, *given.overrides)
    parts = {part: split(run, part) for part in ("val", "test")}
    val, test = (served.pictures(parts[part][0]) for part in ("val", "test"))
    for part, seen in (("val", val), ("test", test)):
        right = np.mean(np.array(seen.labels) == np.array(served.names)[parts[part][1]])
        mean = seen.values["confidence"].mean()
        sure = np.mean(seen.values["confidence"].round(5) == 1)
        print(f"{part}: {len(seen):,} pictures, accuracy {right:.4f}, mean confidence {mean:.4f}, "
              f"{sure:.1%} of them 1.00000")  # fmt: skip
    pixels = parts["val"][0]
    false_alarms(served, pixels, val, test)
    known = served.reference(list(pixels[np.random.default_rng(2).permutation(len(pixels))[:MOST]]))
    detection(served, known, test, *parts["test"])
    print(f"\n{served.bundle.name}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
