"""Every command of the README runs, shortened, on tiny data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import tiny
from launch import ROOT, launch, only_run, start

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.S)
# The block that ships a run is one story: each command needs what the one before it left.
(SHIP,) = (block for block in BLOCKS if "src/serve.py" in block)
COMMANDS = [
    line.partition("  #")[0].strip() for b in BLOCKS if b != SHIP for line in b.splitlines()
]
SHORT = (
    "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1", "trainer=cpu", "data.batch_size=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    done = launch("train", "model=mlp", *SHORT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return only_run(folder)


def test_readme_is_short_enough_and_complete():
    assert len(README.splitlines()) <= 250
    assert "@@" not in README
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith(("python", "burnish"))])
def test_the_command_runs(line, run, tmp_path, mnist_root, cifar10_root, folder_root):
    words = shlex.split(line.replace("$RUN", str(run)))
    verb, arguments = Path(words[1]).stem, words[2:]
    tiny.write_reviews(tmp_path / "reviews.csv", heading="label,review")
    tiny.write_labels(tmp_path / "labels.csv", folder_root)
    roots = dict.fromkeys(("data=mnist", "search=mnist", "experiment=mnist_cnn"), mnist_root)
    roots["data=cifar10"] = cifar10_root
    extra = [f"data.root={root}" for choice, root in roots.items() if choice in arguments]
    if "data=cifar10" in arguments:
        extra.append("data.verify=false")
    arguments = [a.replace("path/to/photographs", str(folder_root)) for a in arguments]
    if verb in ("split", "runs"):
        done = subprocess.run(
            [sys.executable, "-c", "from burnish.cli import main; main()", verb, *arguments],
            cwd=run.parents[3] if verb == "runs" else tmp_path,
            capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return
    if {"data=image_folder", "data=csv_images"} & {*arguments}:
        extra.append("data.image_size=32")
    own_epochs = [a for a in arguments if a.startswith("trainer.max_epochs")]
    if verb == "train" and "--cfg" not in arguments:
        if f"resume={run}" in arguments:
            arguments = [a for a in arguments if a not in own_epochs] + ["trainer.max_epochs=2"]
        else:
            # mlp where the command leaves the model open or sweeps over it is fast enough.
            extra += [s for s in SHORT if s.partition("=")[0] != "trainer.max_epochs"]
            arguments = [a for a in arguments if a not in own_epochs] + ["trainer.max_epochs=1"]
    if verb == "diagnose" and not any(a.startswith("run=") for a in arguments):
        extra.append("checks=[inputs,shapes,outputs]")
    if any(a.startswith("search=") for a in arguments):
        arguments = [a for a in arguments if not a.startswith("search.n_trials")]
        extra.append("search.n_trials=2")
    if f"init_from={run}" in arguments:
        extra.append("model=mlp")
    done = launch(verb, *arguments, *extra, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_is_shipped(run, tmp_path, folder_root):
    for line in SHIP.splitlines():
        words = shlex.split(line.partition("  #")[0].replace("$RUN", str(run)))
        words = [word.replace("path/to/photographs", str(folder_root)) for word in words]
        if "src/serve.py" in words:
            served(words[2:], tmp_path, next(folder_root.rglob("*.jpg")))
            continue
        verb = Path(words[1]).stem
        done = launch(verb, *words[2:], cwd=tmp_path, timeout=300)
        expected = 4 if verb == "watch" else 0  # one prediction is too little to compare
        assert done.returncode == expected, done.stdout + done.stderr
    assert "predictions   1 " in " ".join(done.stdout.split("\n"))


def served(arguments, cwd, picture):
    """One request, then the signal that ends a service."""
    process = start("serve", *arguments, "port=0", cwd=cwd)
    lines = iter(process.stdout.readline, "")
    where = next(line for line in lines if line.startswith("serving at")).split()[2]
    answer = httpx.post(f"{where}/predict", files={"file": picture.read_bytes()}, timeout=30)
    process.terminate()
    assert process.wait(30) == 0
    assert set(answer.json()["predictions"][0]) == {"id", "class", "confidence", "probabilities"}


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.startswith("make")])
def test_the_make_target_exists(line):
    done = subprocess.run(
        ["make", "-n", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_choice_of_every_group_is_listed():
    for group in (p for p in (ROOT / "conf").iterdir() if p.is_dir()):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{group.name}` |"))
        listed = set(re.findall(r"`(\w+)`", row)) - {group.name}
        assert {p.stem for p in group.glob("*.yaml")} <= listed, group.name


def test_the_help_lists_every_choice(tmp_path):
    said = launch("train", "--help", cwd=tmp_path).stdout
    block = re.search(r"groups (.*?)\n\n", said, re.S)[1]
    # Longer lists go on in the column where they began.
    rows = re.sub(r"\n {20,}", " ", block).splitlines()
    listed = {words[0]: set(words[1:]) for words in map(str.split, rows)}
    for group in (p for p in (ROOT / "conf").iterdir() if p.is_dir()):
        assert listed[group.name] == {p.stem for p in group.glob("*.yaml")}, group.name


def test_the_error_that_is_shown_is_what_is_printed(tmp_path):
    shown = re.search(r"\$ python src/train.py (.*)\n(2 errors:\n(?:  .*\n)+)", README)
    assert shown
    assert launch("train", *shown[1].split(), cwd=tmp_path).stderr == shown[2]
