"""Every job gets a device of its own, whichever process it belongs to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from burnish.errors import ConfigError
from burnish.search.devices import Devices


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_jobs_get_different_devices_and_workers_too():
    first, second = Devices([3, 5, 7], 2), Devices([3, 5, 7], 1)
    assert [first.override(i) for i in (0, 1)] == [["trainer.devices=[3]"], ["trainer.devices=[5]"]]
    assert second.override(0) == ["trainer.devices=[7]"]
    with pytest.raises(ConfigError, match=r"^search\.devices: "):
        Devices([3, 5, 7], 1)
    first.release()
    assert Devices([3, 5, 7], 2).claimed == [3, 5]


def test_a_killed_process_leaves_its_device(tmp_path):
    code = (
        "import os, signal, tempfile\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from burnish.search.devices import Devices\n"
        "held = Devices([0], 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert Devices([0], 1).claimed == [0]


def test_without_devices_nothing_is_overridden():
    assert Devices((), 4).override(3) == []
