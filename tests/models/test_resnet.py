from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from burnish.models import resnet
from burnish.spec import ImageSpec

Make = Callable[..., ImageSpec]


def from_torchvision(weights: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("fc.", "head."): value for key, value in weights.items()}


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_equals_torchvision_with_its_weights(name: str, make_spec: Make) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(num_classes=1000)
    ours = getattr(resnet, name)(make_spec(3, 96, 96, classes=1000))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    ours.load_state_dict(from_torchvision(theirs.state_dict()))
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        for mode in (True, False):  # batch statistics first, then the running ones they left
            want, got = theirs.train(mode)(images), ours.train(mode)(images)
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("side", "pixels"), [(8, 1), (32, 16), (64, 64), (65, 9), (96, 9)])
def test_stem_fits_the_size(side: int, pixels: int, make_spec: Make) -> None:
    net = resnet.resnet18(make_spec(3, side, side)).eval()
    seen: list[torch.Size] = []
    net.layer4.register_forward_hook(lambda _m, _i, output: seen.append(output.shape[2:]))
    with torch.inference_mode():
        net(torch.randn(1, 3, side, side))
    assert seen[0].numel() == pixels


def test_blocks_start_as_their_shortcut(make_spec: Make) -> None:
    block = resnet.resnet18(make_spec()).layer1[0].eval()
    features = torch.rand(2, 64, 8, 8)
    torch.testing.assert_close(block(features), features, rtol=0, atol=0)
    plain = resnet.resnet18(make_spec(), zero_init_residual=False).layer1[0].eval()
    assert not torch.equal(plain(features), features)


def test_zero_init_reaches_only_the_last_norm_of_each_block(make_spec: Make) -> None:
    net = resnet.resnet50(make_spec())
    zero = {key for key, value in net.named_parameters() if "weight" in key and not value.any()}
    blocks = [(i, j) for i, depth in enumerate((3, 4, 6, 3), start=1) for j in range(depth)]
    assert zero == {f"layer{i}.{j}.bn3.weight" for i, j in blocks}


def test_dropout_acts_before_the_head_in_training_only(make_spec: Make) -> None:
    net = resnet.resnet18(make_spec(), dropout=0.5)
    assert isinstance(net.dropout, nn.Dropout)
    seen: list[torch.Tensor] = []
    net.head.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net.train()(torch.randn(8, 3, 32, 32))
        net.eval()(torch.randn(8, 3, 32, 32))
    dropped, whole = ((features == 0).float().mean() for features in seen)
    assert 0.4 < dropped < 0.6
    assert whole < 0.05
