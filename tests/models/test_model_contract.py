"""What every net of conf/model promises; the list is read from the folder."""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from burnish.errors import ModelError
from burnish.spec import ImageSpec

FOLDER = Path(__file__).parents[2] / "conf" / "model"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
CLASSES = 5


def build(name: str, channels: int, height: int, width: int) -> nn.Module:
    node: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    module, _, attribute = node.pop("_target_").rpartition(".")
    assert node.pop("_partial_") is True
    names = tuple(f"class {i}" for i in range(CLASSES))
    spec = ImageSpec(channels, height, width, names, (0.5,) * channels, (0.25,) * channels)
    net = getattr(importlib.import_module(module), attribute)(spec, **node)
    assert isinstance(net, nn.Module)
    return net


@cache
def shared(name: str, channels: int, side: int) -> nn.Module:
    """One net for all read-only checks of a size: initialising a ResNet takes a while."""
    torch.manual_seed(0)
    return build(name, channels, side, side).eval()


SIZES = [(1, 8), (3, 8), (1, 28), (3, 32), (1, 64), (3, 64)]
CASES = [(name, *size) for name in NAMES for size in SIZES]
CASES += [(name, channels, 96) for name in NAMES if "resnet" in name for channels in (1, 3)]


@pytest.mark.parametrize(("name", "channels", "side"), CASES)
@torch.inference_mode()
def test_logits_are_finite_repeatable_and_each_image_s_own(
    name: str, channels: int, side: int
) -> None:
    net = shared(name, channels, side)
    images = torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(1))
    logits = net(images)
    assert logits.shape == (3, CLASSES)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert logits.std(dim=0).min() > 0, "the images differ, so must the logits"
    torch.testing.assert_close(net(images), logits, rtol=0, atol=0)
    torch.testing.assert_close(net(images[1:2]), logits[1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, 3, 16, 16)
    with torch.no_grad():  # away from zero_init_residual, which mutes whole branches at first
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    loss = nn.functional.cross_entropy(net(torch.randn(6, 3, 16, 16)), torch.arange(6) % CLASSES)
    loss.backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_the_last_layer_is_named_head(name: str) -> None:
    net = shared(name, 3, 32)
    assert {"head.weight", "head.bias"} <= net.state_dict().keys()
    assert isinstance(net.head, nn.Linear)
    assert net.head.out_features == CLASSES


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_oblong_images_fit(name: str) -> None:
    net = build(name, 2, 24, 40).eval()
    assert net(torch.randn(2, 2, 24, 40)).shape == (2, CLASSES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mlp"])
def test_too_small_images_are_refused_in_words(name: str) -> None:
    with pytest.raises(ModelError, match="from 8x8 pixels upwards, found 7x32"):
        build(name, 3, 7, 32)


@pytest.mark.parametrize("name", NAMES)
def test_first_loss_is_near_that_of_guessing(name: str) -> None:
    torch.manual_seed(0)
    net = shared(name, 3, 32)
    with torch.inference_mode():
        loss = nn.functional.cross_entropy(net(torch.randn(32, 3, 32, 32)), torch.arange(32) % 5)
    assert loss < 2 * torch.tensor(CLASSES).log()


def test_every_argument_is_listed_in_its_file() -> None:
    for name in NAMES:
        node: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
        module, _, attribute = node["_target_"].rpartition(".")
        target = getattr(importlib.import_module(module), attribute)
        parameters = inspect.signature(target).parameters
        defaults = {key: p.default for key, p in parameters.items() if key != "spec"}
        assert node.keys() - {"_target_", "_partial_"} == defaults.keys(), name
        for key, default in defaults.items():
            listed = tuple(node[key]) if isinstance(default, tuple) else node[key]
            assert listed == default, f"{name}: {key} differs from the default in the code"
