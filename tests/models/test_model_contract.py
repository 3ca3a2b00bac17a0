"""What every net of conf/model promises; the list is read from the folder."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from burnish.errors import ModelError
from burnish.spec import RESERVED, ImageSpec, Spec, TextSpec

FOLDER = Path(__file__).parents[2] / "conf" / "model"
PRETRAINED = ("torchvision", "timm")  # other people's nets by name, with tests of their own
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in PRETRAINED)
CLASSES = 5
CLASS_NAMES = tuple(f"class {i}" for i in range(CLASSES))
WORDS = 40
MAX_LENGTH = 24


def read(name: str) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    """The target of a model's file, and the arguments listed there."""
    node: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    assert node.pop("_partial_") is True
    module, _, attribute = node.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), attribute), node


def takes(name: str) -> str:
    """The annotation of a net's first argument."""
    return str(next(iter(inspect.signature(read(name)[0]).parameters.values())).annotation)


IMAGE_NETS = [name for name in NAMES if takes(name) == "ImageSpec"]
TEXT_NETS = [name for name in NAMES if takes(name) == "TextSpec"]


def build(name: str, spec: Spec) -> nn.Module:
    target, arguments = read(name)
    net = target(spec, **arguments)
    assert isinstance(net, nn.Module)
    return net


def image_spec(channels: int, height: int, width: int) -> ImageSpec:
    return ImageSpec(channels, height, width, CLASS_NAMES, (0.5,) * channels, (0.25,) * channels)


def text_spec() -> TextSpec:
    vocabulary = RESERVED + tuple(f"word{i}" for i in range(WORDS))
    return TextSpec(CLASS_NAMES, "word", vocabulary, MAX_LENGTH)


def spec_for(name: str) -> Spec:
    return image_spec(3, 32, 32) if name in IMAGE_NETS else text_spec()


def batch_for(name: str, size: int) -> Tensor:
    """Random input that fits ``spec_for(name)``."""
    if name in IMAGE_NETS:
        return torch.randn(size, 3, 32, 32)
    ids = torch.randint(1, len(RESERVED) + WORDS, (size, MAX_LENGTH))
    lengths = torch.randint(1, MAX_LENGTH + 1, (size, 1))
    return ids.masked_fill(torch.arange(MAX_LENGTH) >= lengths, 0)


@cache
def shared(name: str, spec: Spec) -> nn.Module:
    """One net for all read-only checks of a spec: initialising a ResNet takes a while."""
    torch.manual_seed(0)
    return build(name, spec).eval()


def assert_finite_repeatable_and_each_sample_s_own(net: nn.Module, batch: Tensor) -> None:
    logits = net(batch)
    assert logits.shape == (len(batch), CLASSES)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert logits.std(dim=0).min() > 0, "the samples differ, so must the logits"
    torch.testing.assert_close(net(batch), logits, rtol=0, atol=0)
    torch.testing.assert_close(net(batch[1:2]), logits[1:2], rtol=1e-4, atol=1e-4)


def test_every_net_takes_images_or_texts() -> None:
    assert IMAGE_NETS
    assert TEXT_NETS
    assert sorted(IMAGE_NETS + TEXT_NETS) == NAMES


SIZES = [(1, 8), (3, 8), (1, 28), (3, 32), (1, 64), (3, 64)]
CASES = [(name, *size) for name in IMAGE_NETS for size in SIZES]
CASES += [(name, channels, 96) for name in IMAGE_NETS if "resnet" in name for channels in (1, 3)]


@pytest.mark.parametrize(("name", "channels", "side"), CASES)
@torch.inference_mode()
def test_logits_of_images(name: str, channels: int, side: int) -> None:
    images = torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(1))
    net = shared(name, image_spec(channels, side, side))
    assert_finite_repeatable_and_each_sample_s_own(net, images)


@pytest.mark.parametrize("name", TEXT_NETS)
@torch.inference_mode()
def test_logits_of_texts(name: str) -> None:
    net = shared(name, text_spec())
    torch.manual_seed(1)
    assert_finite_repeatable_and_each_sample_s_own(net, batch_for(name, 4))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    net = build(name, image_spec(3, 16, 16) if name in IMAGE_NETS else text_spec())
    with torch.no_grad():  # away from zero_init_residual, which mutes whole branches at first
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    batch = torch.randn(6, 3, 16, 16) if name in IMAGE_NETS else batch_for(name, 6)
    nn.functional.cross_entropy(net(batch), torch.arange(6) % CLASSES).backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 1e-7, key  # rounding alone leaves less


@pytest.mark.parametrize("name", NAMES)
def test_the_last_layer_is_named_head(name: str) -> None:
    net = shared(name, spec_for(name))
    assert {"head.weight", "head.bias"} <= net.state_dict().keys()
    assert isinstance(net.head, nn.Linear)
    assert net.head.out_features == CLASSES
    with torch.inference_mode():
        seen: list[Tensor] = []
        hook = net.head.register_forward_hook(lambda _m, _i, output: seen.append(output))
        logits = net(batch_for(name, 2))
        hook.remove()
    assert logits is seen[0]


@pytest.mark.parametrize("name", IMAGE_NETS)
@torch.inference_mode()
def test_oblong_images_fit(name: str) -> None:
    net = build(name, image_spec(2, 24, 40)).eval()
    assert net(torch.randn(2, 2, 24, 40)).shape == (2, CLASSES)


@pytest.mark.parametrize("name", [name for name in IMAGE_NETS if name != "mlp"])
def test_too_small_images_are_refused_in_words(name: str) -> None:
    with pytest.raises(ModelError, match="from 8x8 pixels upwards, found 7x32"):
        build(name, image_spec(3, 7, 32))


@pytest.mark.parametrize("name", NAMES)
def test_the_other_kind_of_data_is_refused_in_words(name: str) -> None:
    taken, other = ("images", text_spec()) if name in IMAGE_NETS else ("texts", image_spec(3, 8, 8))
    found = type(other).__name__
    suggested = "for texts, such as model=bilstm" if taken == "images" else "model=simple_cnn"
    with pytest.raises(ModelError, match=rf"takes {taken}, but .* {found}: choose .*{suggested}"):
        build(name, other)


@pytest.mark.parametrize("name", NAMES)
def test_first_loss_is_near_that_of_guessing(name: str) -> None:
    net = shared(name, spec_for(name))
    torch.manual_seed(0)
    with torch.inference_mode():
        loss = nn.functional.cross_entropy(net(batch_for(name, 32)), torch.arange(32) % CLASSES)
    assert loss < (2 if name in IMAGE_NETS else 1.2) * torch.tensor(CLASSES).log()


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_listed_in_its_file(name: str) -> None:
    target, arguments = read(name)
    parameters = inspect.signature(target).parameters
    defaults = {key: p.default for key, p in parameters.items() if key != "spec"}
    assert arguments.keys() == defaults.keys()
    for key, default in defaults.items():
        listed = tuple(arguments[key]) if isinstance(default, tuple) else arguments[key]
        assert listed == default, f"{key} differs from the default in the code"
