"""Every file under conf/: opens with what it is, composes, passes the checks, is built and runs."""

from __future__ import annotations

import inspect

import lightning.pytorch as pl
import pytest

import tiny
from burnish.build import build_data, build_module
from burnish.commands.train import train
from burnish.config.check import MONITORS, check
from burnish.errors import ConfigError
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


@pytest.fixture(scope="session")
def where(tmp_path_factory, mnist_root, cifar10_root, cifar100_root, folder_root):
    """The overrides by which each data set is found, small and in its true format."""
    folder = tmp_path_factory.mktemp("data")
    images = ["data.image_size=16", "model=resnet18"]
    labels = tiny.write_labels(folder / "labels.csv", folder_root)
    reviews = tiny.write_reviews(folder / "reviews.csv")
    return {
        "digits": images,
        "mnist": [*images, f"data.root={mnist_root}"],
        "fashion_mnist": [
            *images, f"data.root={tiny.write_mnist(folder, folder='FashionMNIST')}",
        ],
        "cifar10": [*images, f"data.root={cifar10_root}", "data.verify=false"],
        "cifar100": [*images, f"data.root={cifar100_root}", "data.verify=false"],
        "image_folder": [*images, f"data.root={folder_root}"],
        "csv_images": [*images, f"data.path={labels}", f"data.root={folder_root}"],
        "text": [f"data.path={reviews}", "model=bag_of_embeddings"],
        "docstrings": ["model=bag_of_embeddings"],
    }  # fmt: skip


@pytest.mark.parametrize("data", choices("data"))
def test_every_data_set_is_built_and_feeds_a_net(data, where, tmp_path):
    config = composed(
        f"data={data}", *where[data], "name=x", "trainer=cpu", "data.num_workers=0",
        "debug=limit", "data.batch_size=8", "trainer.limit_train_batches=1",
    )  # fmt: skip
    assert check(config) == []
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    train(config, run.path)
    assert run.read_json("result")["status"] == "finished"
    spec = run.read_json("spec")
    assert spec.get("height") == 16 or spec["vocabulary"][:2] == ["<pad>", "<unk>"]


@pytest.mark.parametrize("data", choices("data"))
def test_every_data_set_without_a_validation_split_can_be_folded(data, where):
    config = composed(
        f"data={data}", *where[data], "name=x", "data.num_folds=4", "data.fold=2",
        "data.num_workers=0",
    )  # fmt: skip
    assert check(config) == []
    if data == "image_folder":  # it brings a validation split
        with pytest.raises(ConfigError, match="num_folds: this data has a validation split"):
            build_data(config)
        return
    module = build_data(config)
    train_rows, val_rows = (set(module.splits[split][1].tolist()) for split in ("train", "val"))
    assert train_rows.isdisjoint(val_rows)
    whole = len(train_rows) + len(val_rows)
    assert abs(len(val_rows) - whole / 4) < 1
    assert train_rows | val_rows == set(range(whole))


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_is_built(experiment, mnist_root, cifar10_root, tmp_path):
    root = mnist_root if experiment.startswith("mnist") else cifar10_root
    if experiment.startswith(("zh", "sst2")):
        root = tiny.write_texts(tmp_path)
    config = composed(f"experiment={experiment}", f"paths.data={root}", "trainer=cpu")
    if "verify" in config["data"]:
        config["data"]["verify"] = False
    data = build_data(config)
    module = build_module(config, data)
    assert config["name"] == experiment
    inputs, labels = next(iter(data.train_dataloader()))
    logits = module(data.preprocess(inputs))
    assert logits.shape == (len(labels), data.spec.num_classes)
