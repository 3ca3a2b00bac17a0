"""Prediction logs in tests: rows, a recorder that has come to its end, and what a file holds."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from bundles import IMAGES, TEXTS
from burnish.deploy.preprocess import preprocess
from burnish.deploy.watch.log import Row
from burnish.deploy.watch.recorder import Answered, Recorder

PICTURES, SENTENCES = preprocess(IMAGES), preprocess(TEXTS)


def row(i: int, model: str = "a", size: int = 0) -> Row:
    blob = bytes(size) if size else None
    return Row(f"r{i}", 1000.0 + i, model, f"h{i}", "cat", 0.5, 1.0, {"tokens": float(i)}, blob)


def answered(i: int, item: object = "abc", made=SENTENCES) -> Answered:
    return Answered(f"r{i}", "v1", made, item, "good", 0.75, 2.5, 1000.0 + i)


def recorded(path: Path, items: list[Answered], **given) -> Recorder:
    recorder = Recorder(path, **given)
    recorder.start()
    for item in items:
        recorder.record(item)
    recorder.stop()
    return recorder


def cells(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.parent.glob(path.name + "*"))


def until(true, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
