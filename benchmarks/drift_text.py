"""What ``burnish watch`` says of texts, and of the same input sent again and again.

    python benchmarks/drift_text.py RUN BUNDLE ENGLISH.tsv OTHER.csv [data.path=FILE]

RUN was trained on Chinese hotel reviews (ChnSentiCorp), BUNDLE is its export; ENGLISH.tsv holds
English sentences (SST-2: text, label), OTHER.csv Chinese reviews of purchases (online_shopping:
cat, label, review). The reference is the validation split; windows are of 100 and 250 reviews,
since the test split is small.
Printed: share of 200 windows with drift, each one look at alpha 0.01, and what drifts.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

import burnish
from burnish.deploy.bundle import read_bundle
from burnish.deploy.watch.drift import compare
from burnish.deploy.watch.reading import Logged
from burnish.runs.console import table
from drift import ALPHA, MOST, WINDOWS, Served, looks, rows_of, share

SIZES, LONGEST = (100, 250), 5000


def texts_of(path: str, column: int, delimiter: str) -> list[str]:
    """About 5,000 distinct ones; a heading among them does no harm."""
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        texts = {row[column] for row in csv.reader(file, delimiter=delimiter, quoting=quoting)}
    return sorted(texts)[:: max(1, len(texts) // LONGEST)]


def with_repeats(source: Logged, copies: int, rng: np.random.Generator) -> Logged:
    """500 inputs in random order, one of them ``copies`` times more."""
    rows = rng.choice(len(source), 500, replace=False)
    rows = rng.permutation(np.concatenate([rows, np.full(copies, rows[0])]))
    return replace(rows_of(source, rows), times=np.arange(len(rows)) * 1.0)


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser()
    for name in ("run", "bundle", "english", "other"):
        parser.add_argument(name)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    served = Served(read_bundle(Path(given.bundle)))
    run = burnish.load_run(given.run, *given.overrides)
    rng = np.random.default_rng(0)
    parts = {}
    for part in ("val", "test"):
        source, rows = run.data.splits[part]
        distinct = list(dict.fromkeys(source.texts[row] for row in rows.tolist()))
        parts[part] = [served.predictor.preprocess.read(text) for text in distinct]
    val, test = parts["val"], served.logged(parts["test"])
    known = served.reference([val[i] for i in rng.permutation(len(val))[:MOST]])
    sources = {
        "hotel reviews, test split": test,
        "purchase reviews": served.logged(texts_of(given.other, 2, ",")),
        "English sentences": served.logged(texts_of(given.english, 0, "\t")),
    }
    print(f"reference: {known.samples:,} reviews")
    rows_shown = [["traffic", "inputs", *map(str, SIZES), "by, at 250"]]
    for title, seen in sources.items():
        pool = np.arange(len(seen))
        found = [share(looks(seen, known, n, rng, pool, WINDOWS)) for n in SIZES]
        (window,) = compare(rows_of(seen, rng.choice(pool, 250, replace=False)), known, 250, ALPHA)
        shown = [f"{100 * value:.1f} %" for value in found]
        rows_shown.append([title, f"{len(seen):,}", *shown, ", ".join(window.drifted)])
    print(table(rows_shown))
    for copies in (100, 1000):
        told = Counter()  # type: ignore[var-annotated]
        for _ in range(WINDOWS):
            again = with_repeats(test, copies, rng)
            told["as it is"] += any(w.drifted for w in compare(again, known, 250, ALPHA))
            each = replace(again, hashes=list(map(str, range(len(again)))))
            told["repeats counted"] += any(w.drifted for w in compare(each, known, 250, ALPHA))
        shares = ", ".join(f"{k} {100 * v / WINDOWS:.1f} %" for k, v in told.items())
        print(f"500 reviews, one of them {copies:,} times more: looks with drift: {shares}")


if __name__ == "__main__":
    main()
