"""What became of runs that last said "running": told from processes, times and machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from burnish.runs.alive import this_host, what_became
from burnish.runs.listing import Run, read


def ago(seconds: float) -> float:
    return time.time() - seconds


def became(written: float = 0.0, heard: float = 0.0, **result) -> tuple[str, str]:
    """``written`` and ``heard``: seconds ago."""
    return what_became(result, time.time() - written, time.time() - heard)


@pytest.fixture
def gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_process_of_this_machine_tells(gone):
    assert became(pid=os.getpid(), host=this_host())[0] == "running"
    assert became(pid=gone, host=this_host())[0] == "killed"
    assert became(pid=gone)[0] == "lost?"  # written before runs said where they ran


def test_a_younger_process_has_the_number_of_another(tmp_path):
    assert became(pid=os.getpid(), host=this_host(), written=10 * 86400)[0] == "killed"


def test_a_killed_process_that_nobody_asked_after_is_dead():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert became(pid=process.pid, host=this_host())[0] == "running"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and a zombie still
    assert became(pid=process.pid, host=this_host())[0] == "killed"
    process.wait()


def test_of_another_machine_only_the_silence_tells():
    assert became(pid=os.getpid(), host="elsewhere", heard=60)[0] == "running"
    status, why = became(pid=os.getpid(), host="else\x1bwhere", heard=2 * 3600)
    assert (status, why) == ("lost?", "on else\\x1bwhere, silent for 2 h")


@pytest.mark.parametrize("pid", [None, "12", True, 0, -1, 10**40, 1.5])
def test_what_is_no_process_is_lost(pid):
    assert became(pid=pid, host=this_host())[0] == "lost?"


def run(folder: Path, **result) -> Run:
    folder.mkdir()
    (folder / "overrides.yaml").write_text("[]\n")
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 0}))
    (folder / "result.json").write_text(json.dumps(result))
    return read(folder)


def test_a_run_was_last_heard_of_by_any_of_its_files(tmp_path, gone):
    one = run(tmp_path / "a", status="running", pid=gone, host=this_host())
    os.utime(one.path / "result.json", (ago(900), ago(900)))
    (one.path / "metrics.csv").write_text("step\n")
    os.utime(one.path / "metrics.csv", (ago(500), ago(500)))
    again = read(one.path)
    assert again.status == "killed"
    assert again.age == pytest.approx(500, abs=60)


def test_a_copied_run_is_as_old_as_it_says(tmp_path):
    began = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(ago(7000)))
    assert run(tmp_path / "a", status="finished", began=began, seconds=1000).age == pytest.approx(
        6000, abs=60
    )
    for index, odd in enumerate(["9999-12-31T23:59:59-12:00", "0001-01-01", "soon", 5, None]):
        one = run(tmp_path / str(index), status="finished", began=odd, seconds=1e300)
        assert one.began is None
        assert one.age < 600
