"""The wheel must work on its own: configs inside it, command, outputs in the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch import ROOT, environment, only_run, result_of


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel, built and installed into a folder of its own."""
    work = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=120)
    (wheel,) = work.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    target = work / "site"
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, timeout=120)
    return target


def burnish(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(installed / "bin" / "burnish"), *arguments],
        cwd=cwd,
        env={**environment(), "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_trains_and_evaluates_from_any_folder(installed, tmp_path):
    done = burnish(
        installed, "train", "model=mlp", "trainer=cpu", "trainer.max_epochs=1", cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = only_run(tmp_path)
    assert result_of(run)["status"] == "finished"
    done = burnish(installed, "eval", f"run={run}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = result_of(run)["metrics"]["test/accuracy"]
    assert f"{accuracy:.4f}" in done.stdout


def test_the_package_reads_its_own_configs(installed):
    code = "import burnish.config.paths as p; print(p.conf_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == installed / "burnish" / "conf"
    packaged = {p.relative_to(installed / "burnish" / "conf") for p in
                (installed / "burnish" / "conf").rglob("*.yaml")}  # fmt: skip
    checkout = {p.relative_to(ROOT / "conf") for p in (ROOT / "conf").rglob("*.yaml")}
    assert packaged == checkout


def test_the_checkout_reads_its_conf_and_not_the_copy_of_a_wheel():
    code = "import burnish.config.paths as p; print(p.conf_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == ROOT / "conf"
