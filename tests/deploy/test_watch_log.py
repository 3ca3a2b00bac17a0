"""The prediction log: what is written, bounded and survived."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from logs import PICTURES, answered, cells, recorded, row, size_of, until

from burnish.deploy.watch.log import Ambiguous, append, check_log, label, open_log
from burnish.deploy.watch.reading import read_log
from burnish.deploy.watch.recorder import Recorder
from burnish.errors import ConfigError, DataError
from launch import ROOT


def test_what_was_answered_is_read_back(tmp_path):
    path = tmp_path / "log.sqlite"
    pixels = np.arange(3 * 6 * 8, dtype=np.uint8).reshape(3, 6, 8)
    recorder = recorded(path, [answered(0, pixels, PICTURES), answered(1, pixels, PICTURES)])
    assert recorder.counts == {"written": 2}
    found = read_log(path, "v1")
    assert list(found.times) == [1000.0, 1001.0]
    assert found.labels == ["good", "good"]
    assert len(set(found.hashes)) == 1
    assert found.truths == (None, None)
    expected = {"confidence": 0.75, "milliseconds": 2.5, "brightness": pixels.mean() / 255,
                "contrast": pixels.std() / 255}  # fmt: skip
    # Neighbours differ by 1 to the right, of which there are 126 pairs, and by 8 below, 120.
    expected["sharpness"] = (126 * 1 + 120 * 8) / 246 / 255
    assert {name: values[0] for name, values in found.values.items()} == pytest.approx(
        expected, abs=1e-5
    )
    assert cells(path, "SELECT input FROM predictions") == [(None,), (None,)]


def test_models_and_times_are_told_apart_and_only_the_latest_are_read(tmp_path):
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as connection:
        append(connection, [row(i, "a" if i % 3 else "b") for i in range(30)], 1000, 10**7)
    found = read_log(path, "a", since=1010.0)
    assert list(found.times) == [1000.0 + i for i in range(10, 30) if i % 3]
    assert (found.others, found.cut) == (6, False)
    found = read_log(path, "a", most=5)
    assert list(found.times) == [1023.0, 1025.0, 1026.0, 1028.0, 1029.0]
    assert found.cut


def test_the_latest_are_those_written_last_whatever_their_clock_said(tmp_path):
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as connection:
        append(connection, [replace(row(i), time=2000.0 - i) for i in range(10)], 1000, 10**7)
        append(connection, [replace(row(10), time=9e9)], 1000, 10**7)
        append(connection, [row(11)], 1000, 10**7)
    found = read_log(path, "a", most=3, until=3000.0)
    assert found.hashes == ["h8", "h9", "h11"]
    assert (found.future, found.cut, found.others) == (1, True, 0)
    assert read_log(path, "a").future == 0


def test_feedback_belongs_to_the_latest_of_an_id_and_the_last_word_counts(tmp_path):
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as connection:
        append(connection, [row(0), row(1), row(0)], 1000, 10**7)  # asked again: one input
        assert not label(connection, "r2", "cat", 1.0)
        assert label(connection, "r0", "cat", 1.0)
        assert label(connection, "r0", "dog", 2.0)
    assert sorted(read_log(path, "a").truths, key=str) == [None, None, "dog"]
    assert cells(path, "SELECT number, label FROM feedback") == [(3, "dog")]


def test_feedback_for_an_id_of_several_inputs_is_nobodys(tmp_path):
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as connection:
        append(connection, [row(0), replace(row(1), id="r0")], 1000, 10**7)
        with pytest.raises(Ambiguous):
            label(connection, "r0", "cat", 1.0)
    assert cells(path, "SELECT count(*) FROM feedback") == [(0,)]


def test_the_oldest_rows_make_room_and_their_feedback_goes_too(tmp_path):
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as connection:
        for start in range(0, 300, 20):
            append(connection, [row(i) for i in range(start, start + 20)], 100, 10**7)
            label(connection, f"r{start}", "cat", 1.0)
            ((count,),) = connection.execute("SELECT count(*) FROM predictions").fetchall()
            assert count <= 100
    kept = [id for (id,) in cells(path, "SELECT id FROM predictions ORDER BY number")]
    assert kept == [f"r{i}" for i in range(300 - len(kept), 300)]
    assert len(kept) >= 80
    orphans = "SELECT count(*) FROM feedback WHERE number NOT IN (SELECT number FROM predictions)"
    assert cells(path, orphans) == [(0,)]
    assert cells(path, "SELECT count(*) FROM feedback") == [(len(kept) // 20,)]


@pytest.mark.parametrize("size", [0, 900])
def test_the_file_does_not_grow_beyond_its_limit(tmp_path, size):
    path, limit = tmp_path / "log.sqlite", 1_000_000
    largest = 0
    with closing(open_log(path)) as connection:
        for start in range(0, 20_000, 200):
            append(connection, [row(i, size=size) for i in range(start, start + 200)], 10**6, limit)
            largest = max(largest, path.stat().st_size)
    assert 0.6 * limit < largest <= limit
    assert size_of(path) < limit + 2_500_000  # the write-ahead log beside it
    newest = cells(path, "SELECT id FROM predictions ORDER BY number DESC LIMIT 1")
    assert newest == [("r19999",)]


def test_inputs_are_kept_only_if_asked_and_if_they_are_small(tmp_path):
    path = tmp_path / "log.sqlite"
    items = [answered(0, "abc"), answered(1, "a" * 20_000)]
    recorder = recorded(path, items, inputs=True, max_mb=1)
    assert recorder.counts == {"written": 2}
    found = cells(path, "SELECT input, statistics FROM predictions ORDER BY number")
    assert [blob for blob, _ in found] == [b"abc", None]
    assert found[1][1] == '{"tokens": 20000.0, "unknown": 0.0}'


def test_a_full_queue_drops_and_counts_and_nobody_waits(tmp_path):
    path = tmp_path / "log.sqlite"
    told: list[tuple[str, int]] = []
    recorder = Recorder(path, count=lambda outcome, number: told.append((outcome, number)))
    big = np.zeros((3, 1000, 1000), dtype=np.uint8)  # 21 of them fill the queue; none is copied
    for i in range(30):
        recorder.record(answered(i, big, PICTURES))  # nobody takes them yet
    assert recorder.counts == {"dropped": 9}
    recorder.start()
    recorder.stop()
    assert recorder.counts == {"dropped": 9, "written": 21}
    assert sum(number for outcome, number in told if outcome == "written") == 21


def test_a_log_that_cannot_be_written_is_said_once_and_taken_up_again(tmp_path, caplog):
    path = tmp_path / "folder" / "log.sqlite"
    recorder = Recorder(path)
    recorder.start()
    for i in range(3):
        recorder.record(answered(i))
        until(lambda i=i: recorder.counts["failed"] == i + 1)
    assert len(caplog.records) == 1
    assert "cannot be written (unable to open database file)" in caplog.text
    path.parent.mkdir()
    recorder.record(answered(3))
    recorder.stop()
    assert recorder.counts == {"failed": 3, "written": 1}
    assert cells(path, "SELECT id FROM predictions") == [("r3",)]


WRITER = """
import sys, time
from pathlib import Path
from burnish.deploy.preprocess import preprocess
from burnish.deploy.watch.recorder import Answered, Recorder
from burnish.spec import RESERVED, TextSpec
path, many, killed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "killed"
made = preprocess(TextSpec(("bad", "good"), "char", (*RESERVED, *"abc"), 12))
recorder = Recorder(path)
recorder.start()
for i in range(many):
    recorder.record(Answered(f"r{i}", "v1", made, "abc", "good", 0.75, 2.5, 1000.0 + i))
while killed:
    time.sleep(0.01)
    if recorder.counts["written"]:
        print("ready", flush=True)
        killed = recorder.record(Answered("more", "v1", made, "abc", "good", 0.75, 2.5, 1e4)) or 1
recorder.stop()
assert recorder.counts == {"written": many}, recorder.counts
"""


def _writer(path: Path, many: int, killed: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(path), str(many), killed]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def test_several_processes_write_and_one_is_killed_meanwhile(tmp_path):
    path = tmp_path / "log.sqlite"
    victim = _writer(path, 700, "killed")
    others = [_writer(path, 1500) for _ in range(2)]
    assert victim.stdout.readline() == "ready\n"
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    for other in others:
        assert other.wait(60) == 0
        other.stdout.close()
    assert cells(path, "PRAGMA integrity_check") == [("ok",)]
    assert len(read_log(path, "v1")) >= 2 * 1500 + 500  # the first commit of the killed one


def test_a_file_of_another_kind_is_refused_before_a_service_starts(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no database, but a text that is long enough to have a header " * 5)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, other, tmp_path):
        with pytest.raises(ConfigError, match=r"^log: .*cannot be used as a prediction log"):
            check_log(path, 100.0)
        with pytest.raises(DataError, match=str(path)):
            read_log(path, "a")
    assert cells(other, "SELECT name FROM sqlite_master") == [("mine",)]
    with pytest.raises(ConfigError, match="there is no folder"):
        check_log(tmp_path / "missing" / "log.sqlite", 100.0)
    with pytest.raises(ConfigError, match=r"log_max_mb: must be at least 1, found 0\.5"):
        check_log(tmp_path / "new.sqlite", 0.5)
    check_log(tmp_path / "new.sqlite", 100.0)
    assert len(read_log(tmp_path / "new.sqlite", "a")) == 0


@pytest.mark.parametrize("statistics", ["[1]", "nothing", '{"tokens": "x"}'])
def test_a_damaged_log_is_named(tmp_path, statistics):
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as connection:
        append(connection, [row(0)], 10, 10**7)
        connection.execute("UPDATE predictions SET statistics = ?", (statistics,))
    with pytest.raises(DataError, match=r"log\.sqlite: cannot be read as a prediction log"):
        read_log(path, "a")
