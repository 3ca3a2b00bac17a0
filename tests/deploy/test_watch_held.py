"""A log that others move, delete, lock or read for long while a service writes it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from functools import partial

import pytest
from logs import answered, cells, recorded, row, size_of, until

from burnish.deploy.watch import held
from burnish.deploy.watch.log import append, open_log, overgrown
from burnish.deploy.watch.reading import read_log
from burnish.deploy.watch.recorder import Recorder


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_log_that_is_moved_or_deleted_is_begun_anew(tmp_path, caplog, how):
    path, away = tmp_path / "log.sqlite", tmp_path / "away.sqlite"
    recorder = Recorder(path)
    recorder.start()
    recorder.record(answered(0))
    until(lambda: recorder.counts["written"] == 1)
    if how == "deleted":
        path.unlink()
    else:
        path.rename(away)
    if how == "replaced":  # as another process does that was quicker
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink()
        with closing(open_log(path)):
            pass
    for i in (1, 2):
        recorder.record(answered(i))
        until(lambda i=i: recorder.counts["written"] == i + 1)
    recorder.stop()
    assert cells(path, "SELECT id FROM predictions") == [("r1",), ("r2",)]
    assert cells(path, "PRAGMA integrity_check") == [("ok",)]
    if how != "deleted":
        assert cells(away, "SELECT id FROM predictions") == [("r0",)]
    assert [r.message for r in caplog.records] == [
        f"log: {path} was moved or deleted; a new one begins there"
    ]


def test_feedback_makes_no_log(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_log(tmp_path / "log.sqlite", make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_its_owners_alone_whatever_its_name(tmp_path):
    path = tmp_path / "what? 50%41 #1 中.sqlite"
    with closing(open_log(path)) as connection:
        append(connection, [row(0)], 10, 10**7)
        files = sorted(tmp_path.iterdir())
        assert [f.name for f in files] == [path.name + e for e in ("", "-shm", "-wal")]
        assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
    assert len(read_log(path, "a")) == 1


def test_predictions_wait_while_somebody_locks_the_log(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(held, "open_log", partial(open_log, busy_seconds=0.05))
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        recorder = Recorder(path)
        recorder.start()
        recorder.record(answered(0))
        until(lambda: caplog.records)
        time.sleep(0.2)  # several tries
        recorder.record(answered(1))
        assert not recorder.counts
        other.execute("ROLLBACK")
    until(lambda: recorder.counts["written"] == 2)
    recorder.stop()
    assert [r.message for r in caplog.records] == [
        f"log: {path} is locked by somebody else; predictions wait for it"
    ]
    assert cells(path, "SELECT id FROM predictions") == [("r0",), ("r1",)]


def test_a_lock_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(held, "open_log", partial(open_log, busy_seconds=0.05))
    path = tmp_path / "log.sqlite"
    with closing(open_log(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert recorded(path, [answered(0)]).counts == {"failed": 1}


def test_a_reader_that_stays_bounds_what_is_written(tmp_path, caplog):
    path, limit = tmp_path / "log.sqlite", 1_000_000
    with closing(open_log(path)) as connection, closing(sqlite3.connect(path)) as reader:
        rows = [row(i) for i in range(500)]
        append(connection, rows, 10**6, limit)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM predictions").fetchone()
        for _ in range(100):
            if overgrown(connection, path, limit):
                break
            append(connection, rows, 10**6, limit)
        assert 3 * limit < path.with_name(path.name + "-wal").stat().st_size < 5 * limit
        assert recorded(path, [answered(0)], max_mb=1).counts == {"dropped": 1}
        assert "is being read all the time" in caplog.text
        reader.execute("ROLLBACK")
        assert recorded(path, [answered(0)], max_mb=1).counts == {"written": 1}
        assert size_of(path) < 3 * limit
