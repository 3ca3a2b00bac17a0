"""Every file under conf/: opens with what it is, composes, passes the checks, is built and runs."""

from __future__ import annotations

import inspect

import lightning.pytorch as pl
import pytest

from burnish.build import build_data, build_module
from burnish.commands.train import train
from burnish.config.check import MONITORS, check
from burnish.learner.metrics import SplitMetrics
from burnish.runs.folder import RunFolder
from launch import ROOT, composed

CONF = ROOT / "conf"
FILES = sorted(CONF.rglob("*.yaml"))


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONF)))
def test_a_file_opens_with_what_it_is_and_its_command(path):
    lines = path.read_text().splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line)
    text = " ".join(c for c in comment if "@package" not in c)
    assert len(text) > 40
    assert f"{path.parent.name}={path.stem}" in text or f"src/{path.stem}.py" in text


GROUPS = sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "search")


@pytest.mark.parametrize("choice", [f"{g}={c}" for g in GROUPS for c in choices(g)])
def test_every_choice_composes_and_passes_the_checks(choice):
    extra = ["trainer.max_epochs=100"]
    assert check(composed("name=x", choice, *extra)) == []


def test_the_trainer_lists_every_argument_of_lightning():
    ours = set(composed("name=x")["trainer"]) - {"_target_"}
    theirs = set(inspect.signature(pl.Trainer).parameters)
    # Made by burnish from groups and the run folder.
    assert ours == theirs - {"callbacks", "logger", "default_root_dir"}


@pytest.mark.parametrize("key", ["min_epochs", "gradient_clip_val", "barebones", "num_nodes"])
def test_the_trainers_defaults_are_lightnings(key):
    default = inspect.signature(pl.Trainer).parameters[key].default
    assert composed("name=x")["trainer"][key] == default


def test_monitors_are_what_is_logged():
    import torch

    logged = set()
    for split in ("train", "val"):
        metrics = SplitMetrics(split, 10)
        metrics.add(torch.tensor(1.0), torch.rand(4, 10), torch.arange(4))
        logged |= set(metrics.compute())
    assert logged == set(MONITORS)


@pytest.mark.parametrize("data", choices("data"))
def test_every_data_set_is_built_and_feeds_a_net(
    data, tmp_path, mnist_root, cifar10_root, cifar100_root, folder_root
):
    roots = {
        "mnist": mnist_root, "fashion_mnist": None, "cifar10": cifar10_root,
        "cifar100": cifar100_root, "image_folder": folder_root, "digits": tmp_path,
    }  # fmt: skip
    root = roots[data]
    if data == "fashion_mnist":
        import tiny

        root = tiny.write_mnist(tmp_path, folder="FashionMNIST")
    overrides = [f"data={data}", f"data.root={root}", "name=x", "trainer=cpu", "data.num_workers=0"]
    if data.startswith("cifar"):
        overrides.append("data.verify=false")
    config = composed(*overrides, "debug=limit", "model=resnet18", "data.image_size=16",
                      "data.batch_size=8", "trainer.limit_train_batches=1")  # fmt: skip
    assert check(config) == []
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    train(config, run.path)
    assert run.read_json("result")["status"] == "finished"
    assert run.read_json("spec")["height"] == 16


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_built(experiment, mnist_root, cifar10_root):
    root = mnist_root if experiment.startswith("mnist") else cifar10_root
    config = composed(f"experiment={experiment}", f"data.root={root}", "trainer=cpu")
    if "verify" in config["data"]:
        config["data"]["verify"] = False
    data = build_data(config)
    module = build_module(config, data.spec)
    assert config["name"] == experiment
    images, labels = next(iter(data.train_dataloader()))
    logits = module(data.preprocess(images))
    assert logits.shape == (len(labels), 10)
