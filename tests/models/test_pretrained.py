"""What nets of torchvision and timm have in common: heads, weights of files, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from burnish.errors import ConfigError, ModelError
from burnish.models.pretrained import Pretrained
from burnish.models.timm_nets import Timm
from burnish.models.torchvision_nets import Torchvision
from burnish.nn.layers import WeightNormLinear
from burnish.spec import ImageSpec, TextSpec

pytestmark = pytest.mark.usefixtures("caches")
Make = Callable[..., ImageSpec]
Images = Callable[..., torch.Tensor]


@pytest.mark.parametrize("library", [Torchvision, Timm])
def test_grey_images_are_three_equal_channels(
    library: type[Pretrained], make_spec: Make, make_images: Images
) -> None:
    torch.manual_seed(0)
    grey = library(make_spec(1)).eval()
    colour = library(make_spec(3)).eval()
    colour.load_state_dict(grey.state_dict())
    x = make_images(1, 32)
    torch.testing.assert_close(grey(x), colour(x.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("head", ["linear", "weight_norm"])
def test_heads_start_near_uniform_predictions(head: Any, make_spec: Make) -> None:
    torch.manual_seed(0)
    net = Torchvision(make_spec(), head=head, dropout=0.4)
    assert isinstance(net.head, WeightNormLinear if head == "weight_norm" else nn.Linear)
    assert list(net.state_dict())[-1] == "head.bias"
    assert net.dropout.p == 0.4
    loss = F.cross_entropy(net(torch.randn(10, 3, 32, 32)), torch.arange(10) % 5)
    assert loss.item() == pytest.approx(torch.tensor(5.0).log().item(), abs=0.3)


def test_dropout_acts_before_the_head_in_training_only(
    make_spec: Make, make_images: Images
) -> None:
    net = Torchvision(make_spec(), name="shufflenet_v2_x0_5", dropout=0.5).eval()
    x = make_images(3, 32)
    torch.testing.assert_close(net(x), net.head(net.features(x)))
    net.dropout.train()
    assert not torch.equal(net(x), net(x))


def test_a_weights_file_of_the_library_s_names_keeps_the_data_s_normalisation(
    tmp_path: Path, make_spec: Make, make_images: Images
) -> None:
    model = torchvision.models.resnet18(num_classes=5).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w.pth")
    net = Torchvision(make_spec(), weights_file=str(tmp_path / "w.pth")).eval()
    torch.testing.assert_close(net(make_images()), model(make_images()))
    assert net.normalisation is None
    assert net.notes == [f"model.weights_file: {tmp_path / 'w.pth'}: 102 tensors loaded"]
    normed = Torchvision(make_spec(), weights_file=str(tmp_path / "w.pth"), head="weight_norm")
    assert any("fc.weight" in note for note in normed.notes), "a plain layer is no such head"


def test_weights_of_torchvision_fit_timm_by_name_or_order(
    tmp_path: Path, make_spec: Make, make_images: Images
) -> None:
    model = torchvision.models.resnet18().eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    model.fc = nn.Identity()
    for match in ("names", "order"):
        file = {"weights_file": str(tmp_path / "w.pth"), "weights_match": match}
        net = Timm(make_spec(), **file).eval()
        torch.testing.assert_close(net.features(make_images()), model(make_images()))
        assert any("fc.weight [1000, 512]" in note for note in net.notes)


@pytest.mark.parametrize(
    ("library", "arguments", "said"),
    [
        (Torchvision, {"name": "resnet81"}, r"model.name: .*'resnet81'; did you mean resnet18"),
        (Torchvision, {"name": "fcn_resnet50"}, "model.name: torchvision knows no"),
        (Timm, {"name": "hf-hub:any/thing"}, "model.name: timm knows no"),
        (Timm, {"name": "restnet18"}, "did you mean resnet18"),
        (Torchvision, {"weights": "V7"}, "model.weights: .* no V7 for resnet18, but IMAGENET1K_V1"),
        (Timm, {"weights": "v7"}, "model.weights: timm has no v7 for resnet18, but a1_in1k"),
        (Timm, {"name": "resnet18.v7"}, "model.weights: timm has no v7 for resnet18"),
        (Timm, {"name": "efficientnet_b8", "weights": True}, "no published weights"),
    ],
)
def test_unknown_names_are_refused_with_those_known(
    library: type[Pretrained], arguments: dict[str, Any], said: str, make_spec: Make
) -> None:
    with pytest.raises(ModelError, match=said):
        library(make_spec(), **arguments)


@pytest.mark.parametrize(
    ("library", "arguments", "size", "said"),
    [
        (Torchvision, {"name": "alexnet"}, (32, 32), "of 32x32 pixels.* data.image_size=224"),
        (Torchvision, {"name": "vit_b_32"}, (64, 96), "of 64x96 pixels.* data.image_size=224"),
        (Torchvision, {"name": "vit_b_32"}, (50, 50), "of 50x50 pixels.* data.image_size=224"),
        (Torchvision, {"name": "maxvit_t"}, (64, 64), "of 64x64 pixels.* data.image_size=224"),
        (Timm, {"name": "inception_v3"}, (8, 8), "of 8x8 pixels.* data.image_size=299"),
    ],
)
def test_sizes_that_the_architecture_refuses_are_named(
    library: type[Pretrained],
    arguments: dict[str, Any],
    size: tuple[int, int],
    said: str,
    make_spec: Make,
) -> None:
    with pytest.raises(ModelError, match=said):
        library(make_spec(3, *size), **arguments)


def test_other_channels_and_other_data_are_refused(make_spec: Make) -> None:
    with pytest.raises(ModelError, match="1 or 3 channels, found 2: model=timm"):
        Torchvision(make_spec(2))
    text: Any = TextSpec(("a", "b"), "char", ("<pad>", "<unk>", "x"), 8)
    for library in (Torchvision, Timm):
        with pytest.raises(ModelError, match="takes images, but"):
            library(text)


def test_bad_arguments_are_all_named(make_spec: Make) -> None:
    wrong: dict[str, Any] = {
        "weights": "DEFAULT",
        "weights_file": "w.pth",
        "weights_match": "shape",
        "head": "cosine",
        "dropout": 1.0,
        "normalisation": "none",
    }
    with pytest.raises(ConfigError) as caught:
        Torchvision(make_spec(), **wrong)
    assert {problem.split(":")[0] for problem in caught.value.problems} == {
        f"model.{key}" for key in wrong if key != "weights"
    }
