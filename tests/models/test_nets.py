"""What is particular to each small net, and what all nets refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from burnish.errors import ConfigError, ModelError
from burnish.models.cnn import CIFAR10Net, SimpleCNN
from burnish.models.mlp import MLP
from burnish.models.resnet import resnet18
from burnish.spec import ImageSpec

Make = Callable[..., ImageSpec]


@pytest.mark.parametrize(
    ("net", "arguments", "key"),
    [
        (MLP, {"sizes": [64, -1]}, "model.sizes"),
        (MLP, {"sizes": [0]}, "model.sizes"),
        (MLP, {"sizes": 256}, "model.sizes"),
        (MLP, {"sizes": [2.5]}, "model.sizes"),
        (MLP, {"dropout": 1.0}, "model.dropout"),
        (SimpleCNN, {"hidden": 0}, "model.hidden"),
        (SimpleCNN, {"dropout": -0.1}, "model.dropout"),
        (CIFAR10Net, {"hidden": True}, "model.hidden"),
        (CIFAR10Net, {"block_dropout": 1.5}, "model.block_dropout"),
        (CIFAR10Net, {"dropout": float("nan")}, "model.dropout"),
        (resnet18, {"dropout": "0.1"}, "model.dropout"),
    ],
)
def test_bad_arguments_name_their_key(
    net: Callable[..., nn.Module], arguments: dict[str, Any], key: str, make_spec: Make
) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must be") as caught:
        net(make_spec(), **arguments)
    assert repr(next(iter(arguments.values()))) in str(caught.value), "says what was found"


def test_all_mistakes_are_reported_at_once(make_spec: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        CIFAR10Net(make_spec(), hidden=0, block_dropout=2.0, dropout=2.0)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "model.hidden",
        "model.block_dropout",
        "model.dropout",
    ]


@pytest.mark.parametrize("net", [MLP, SimpleCNN, CIFAR10Net, resnet18])
def test_data_that_is_no_image_is_refused_in_words(net: Callable[..., nn.Module]) -> None:
    class WordSpec:
        num_classes = 2

    with pytest.raises(ModelError, match=r"takes images, but .* WordSpec"):
        net(WordSpec())


def test_mlp_computes_what_its_layers_say(make_spec: Make) -> None:
    net = MLP(make_spec(1, 4, 4), sizes=(6,), dropout=0.3).eval()
    weights = net.state_dict()
    images = torch.randn(2, 1, 4, 4)
    hidden = (images.reshape(2, 16) @ weights["body.1.weight"].T + weights["body.1.bias"]).relu()
    want = hidden @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(net(images), want)


def test_mlp_without_hidden_layers_is_softmax_regression(make_spec: Make) -> None:
    net = MLP(make_spec(1, 8, 8), sizes=[])
    assert sum(p.numel() for p in net.parameters()) == 64 * 5 + 5


def test_parameter_counts_by_hand(make_spec: Make) -> None:
    def count(net: nn.Module) -> int:
        return sum(p.numel() for p in net.parameters())

    spec = make_spec(3, 32, 32, classes=10)
    convolutions = (27 * 16 + 16) + (144 * 32 + 32) + (288 * 64 + 64)
    assert count(SimpleCNN(spec)) == convolutions + (1024 * 512 + 512) + (512 * 10 + 10)
    kernels = 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    norms = 2 * 2 * (32 + 64 + 128)
    assert count(CIFAR10Net(spec)) == kernels + norms + (2048 * 256 + 256) + (256 * 10 + 10)


@pytest.mark.parametrize("net", [SimpleCNN, CIFAR10Net])
def test_large_images_do_not_enlarge_the_classifier(
    net: Callable[..., nn.Module], make_spec: Make
) -> None:
    small, large = net(make_spec(3, 32, 32)), net(make_spec(3, 256, 256))
    large.load_state_dict(small.state_dict())


@pytest.mark.parametrize("net", [MLP, SimpleCNN, CIFAR10Net])
def test_learns_to_tell_bright_from_dark(net: Callable[..., nn.Module], make_spec: Make) -> None:
    torch.manual_seed(0)
    model = net(make_spec(1, 8, 8, classes=2))
    labels = torch.arange(64) % 2
    images = torch.randn(64, 1, 8, 8) + (2.0 * labels - 1).view(-1, 1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with torch.inference_mode():
        assert (model.eval()(images).argmax(1) == labels).float().mean() > 0.95
