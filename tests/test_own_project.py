"""A user's own net, data, callback and configs, in a folder of their own, without a fork."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from launch import ROOT, launch, only_run, result_of

PAGE = (ROOT / "EXTENDING.md").read_text(encoding="utf-8")


def files_of_the_readme() -> dict[str, str]:
    """The files that EXTENDING.md shows, by name."""
    blocks = re.findall(r"```(?:python|yaml)\n# (my_project/\S+)\n(.*?)```", PAGE, re.S)
    return {name.removeprefix("my_project/"): text for name, text in blocks}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in files_of_the_readme().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_readme_shows_a_net_data_and_a_callback():
    names = set(files_of_the_readme())
    assert {"mine.py", "conf/model/tiny.yaml", "conf/data/noise.yaml"} <= names


def test_it_trains_with_the_project_and_without(project):
    own = ("--config-dir", "conf", "trust=[mine]", "model=tiny", "data=noise")
    done = launch("train", *own, "callbacks=greet", "trainer.max_epochs=1", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello from my own callback" in done.stdout
    run = only_run(project)
    assert "val/accuracy" in result_of(run)["metrics"]
    refused = launch("eval", f"run={run}", "split=val", cwd=project)
    assert refused.returncode == 2
    assert "trust=[mine]" in refused.stderr
    assert launch("eval", f"run={run}", "split=val", "trust=[mine]", cwd=project).returncode == 0


def test_it_is_not_imported_without_trust(project):
    (project / "mine.py").write_text("open('imported', 'w')\n")
    done = launch("train", "--config-dir", "conf", "model=tiny", cwd=project)
    assert done.returncode == 2
    assert "model._target_: 'mine.Tiny' is not admitted" in done.stderr
    assert "add trust=[mine]" in done.stderr
    assert not (project / "imported").exists()
    assert not list(project.glob("outputs/train/*/*"))
