"""Every file of conf/loss, conf/optimizer and conf/scheduler names what exists, and works."""

from __future__ import annotations

import importlib
import inspect
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from burnish.nn.optim import fused_by_default, parameter_groups

CONF = Path(__file__).parents[2] / "conf"
OUTER = {"monitor": "val/loss", "mode": "min", "optimizer": {"lr": 0.02}}
TOTAL_STEPS, STEPS_PER_EPOCH = 60, 6

# Keys beside the arguments of a target; tests/test_build.py shows what they do.
READ_BY_BURNISH = ("class_weights", "backbone_lr_scale")


def files(group: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((CONF / group).glob("*.yaml"))]


def read(path: Path) -> dict[str, Any]:
    """The file's node with its interpolations resolved as in a whole configuration."""
    whole = OmegaConf.create({**OUTER, "node": OmegaConf.load(path)})
    plain: Any = OmegaConf.to_container(whole, resolve=True)
    node: dict[str, Any] = plain["node"]
    return node


def target(node: dict[str, Any]) -> Any:
    module, _, attribute = node.pop("_target_").rpartition(".")
    node.pop("_partial_", None)
    for key in READ_BY_BURNISH:
        node.pop(key, None)
    return getattr(importlib.import_module(module), attribute)


def build_optimizer(path: Path, net: nn.Module) -> torch.optim.Optimizer:
    node = read(path)
    cls = target(node)
    groups = parameter_groups(net, node["weight_decay"], node.pop("decay_norms_and_biases"))
    if "fused" in node:
        node["fused"] = fused_by_default(node["fused"], net.parameters())
    optimizer = cls(groups, **node)
    assert isinstance(optimizer, torch.optim.Optimizer)
    return optimizer


def build_schedule(path: Path, optimizer: torch.optim.Optimizer) -> Any:
    node = read(path)["schedule"]
    function = target(node)
    known = inspect.signature(function).parameters
    if "total_steps" in known:
        node["total_steps"] = TOTAL_STEPS
    if "steps_per_epoch" in known:
        node["steps_per_epoch"] = STEPS_PER_EPOCH
    return function(optimizer, **node)


def tiny_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


def saved_and_loaded(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("path", [p for g in ("loss", "optimizer", "scheduler") for p in files(g)])
def test_begins_with_a_comment_that_names_its_command(path: Path) -> None:
    comments = path.read_text().split("\n_", 1)[0].split("\ninterval", 1)[0].splitlines()
    assert all(line.startswith("# ") for line in comments)
    assert f"# python src/train.py {path.parent.name}={path.stem}" in "\n".join(comments)


@pytest.mark.parametrize("path", files("loss"))
def test_losses_take_indices_and_soft_labels(path: Path) -> None:
    node = read(path)
    loss = target(node)(**node)
    logits = torch.randn(4, 3, requires_grad=True)
    for labels in (torch.tensor([0, 1, 2, 0]), torch.rand(4, 3).softmax(1)):
        value = loss(logits, labels)
        assert value.shape == ()
        value.backward()


@pytest.mark.parametrize("path", files("optimizer"))
def test_optimizers_learn_and_save_plain_state(path: Path) -> None:
    net = tiny_net()
    optimizer = build_optimizer(path, net)
    inputs, labels = torch.randn(32, 4), torch.arange(32) % 3
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    build_optimizer(path, net).load_state_dict(saved_and_loaded(optimizer.state_dict()))


@pytest.mark.parametrize("path", files("optimizer"))
def test_optimizers_list_every_argument_worth_tuning(path: Path) -> None:
    node = read(path)
    known = inspect.signature(target(node)).parameters.keys()
    internal = {"params", "capturable", "differentiable", "decoupled_weight_decay"}
    assert node.keys() - {"decay_norms_and_biases", *READ_BY_BURNISH} == known - internal


@pytest.mark.parametrize("path", files("scheduler"))
def test_schedules_run_to_the_end_and_save_plain_state(path: Path) -> None:
    node = read(path)
    assert node.keys() == {"interval", "monitor", "schedule"}
    assert node["interval"] in ("step", "epoch")
    if node["schedule"] is None:
        return
    for optimizer_path in (CONF / "optimizer" / f"{name}.yaml" for name in ("adamw", "muon")):
        optimizer = build_optimizer(optimizer_path, tiny_net())
        schedule = build_schedule(path, optimizer)
        for _ in range(TOTAL_STEPS):
            optimizer.step()
            schedule.step(*([1.0] if node["monitor"] else []))
        rate = optimizer.param_groups[0]["lr"]
        assert rate < optimizer.defaults["lr"]
        build_schedule(path, optimizer).load_state_dict(saved_and_loaded(schedule.state_dict()))


@pytest.mark.parametrize("path", files("scheduler"))
def test_schedules_list_arguments_that_exist(path: Path) -> None:
    node = read(path)["schedule"]
    if node is not None:
        known = inspect.signature(target(node)).parameters.keys()
        assert node.keys() <= known
        outside = {"optimizer", "total_steps", "steps_per_epoch", "epochs", "last_epoch"}
        assert known - node.keys() <= outside
