"""Nets of torchvision and timm; published weights are imitated by files in the libraries' caches.

No test reaches a network: the addresses that the libraries would ask lead to a closed port.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from burnish.errors import ConfigError, ModelError
from burnish.models.pretrained import Pretrained, Timm, Torchvision
from burnish.nn.layers import WeightNormLinear
from burnish.spec import ImageSpec, TextSpec

Make = Callable[..., ImageSpec]
CLOSED = "http://127.0.0.1:9"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", CLOSED)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", CLOSED)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path


def publish(caches: Path, name: str, **options: Any) -> nn.Module:
    """Weights under the name that torchvision would download; returns the net they are of."""
    torch.manual_seed(7)
    model = torchvision.models.get_model(name, weights=None, **options)
    for layer in model.modules():  # statistics that matter
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2)
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    torch.save(model.state_dict(), caches / "hub" / "checkpoints" / url.rpartition("/")[2])
    return model.eval()


def images(channels: int = 3, side: int = 64) -> torch.Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(3))


FAMILIES = [
    "squeezenet1_1",  # its classifier is a convolution
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "densenet121",
    "mnasnet0_5",
    "googlenet",
    "regnet_y_400mf",
    "vit_b_32",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_torchvision_families_take_the_data_s_classes(name: str, make_spec: Make) -> None:
    net = Torchvision(make_spec(height=64, width=64), name=name)
    assert net.training
    logits = net.eval()(images())
    assert logits.shape == (2, 5)
    assert list(net.state_dict())[-2:] == ["head.weight", "head.bias"]
    assert not any(w.shape[0] == 1000 for w in net.parameters()), "the old classifier is gone"
    logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_timm_takes_any_channels_and_size(name: str, channels: int, make_spec: Make) -> None:
    net = Timm(make_spec(channels, 64, 96), name=name)
    logits = net.eval()(torch.randn(2, channels, 64, 96))
    assert logits.shape == (2, 5)
    assert list(net.state_dict())[-2:] == ["head.weight", "head.bias"]


@pytest.mark.parametrize("library", [Torchvision, Timm])
def test_grey_images_are_three_equal_channels(library: type[Pretrained], make_spec: Make) -> None:
    torch.manual_seed(0)
    grey = library(make_spec(1)).eval()
    colour = library(make_spec(3)).eval()
    colour.load_state_dict(grey.state_dict())
    x = images(1, 32)
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


def test_dropout_acts_before_the_head_in_training_only(make_spec: Make) -> None:
    net = Torchvision(make_spec(), name="shufflenet_v2_x0_5", dropout=0.5).eval()
    x = images(3, 32)
    torch.testing.assert_close(net(x), net.head(net.features(x)))
    net.dropout.train()
    assert not torch.equal(net(x), net(x))


# squeezenet has no statistics, mnasnet and densenet have files of older versions
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mnasnet0_5"])
def test_named_weights_of_torchvision_compute_what_the_library_computes(
    name: str, caches: Path, make_spec: Make
) -> None:
    model = publish(caches, name)
    spec = make_spec(height=64, width=64, classes=1000)
    net = Torchvision(spec, name=name, weights="DEFAULT").eval()
    assert net.normalisation == IMAGENET
    assert "tensors loaded" in net.notes[0]
    if name != "squeezenet1_1":  # there a ReLU and the pooling come after its classifier
        torch.testing.assert_close(net(images()), model(images()))
    else:
        want = model.features(images()).relu().mean(dim=(2, 3))
        torch.testing.assert_close(net.features(images()), want)


def test_a_new_number_of_classes_leaves_the_classifier_out(caches: Path, make_spec: Make) -> None:
    model = publish(caches, "resnet18")
    net = Torchvision(make_spec(), weights="ResNet18_Weights.IMAGENET1K_V1").eval()
    model.fc = nn.Identity()
    torch.testing.assert_close(net.features(images()), model(images()))
    assert any("fc.weight [1000, 512]" in note for note in net.notes)


def test_names_in_densenet_s_old_files_are_understood(caches: Path, make_spec: Make) -> None:
    model = publish(caches, "densenet121")
    (path,) = (caches / "hub" / "checkpoints").iterdir()
    state = {
        key.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2."): value
        for key, value in torch.load(path).items()
    }  # fmt: skip
    assert any(".norm.1." in key for key in state)
    torch.save(state, path)
    net = Torchvision(make_spec(), name="densenet121", weights="DEFAULT").eval()
    model.classifier = nn.Identity()
    torch.testing.assert_close(net.features(images()), model(images()))


def test_googlenet_s_own_rescaling_becomes_the_normalisation(caches: Path, make_spec: Make) -> None:
    publish(caches, "googlenet", init_weights=False)  # auxiliary classifiers included
    spec = make_spec(height=64, width=64)
    net = Torchvision(spec, name="googlenet", weights="DEFAULT").eval()
    library = torchvision.models.googlenet(weights="DEFAULT").eval()
    assert library.transform_input
    library.fc = nn.Identity()
    pixels = torch.rand(2, 3, 64, 64)

    def normalised(mean: Any, std: Any) -> torch.Tensor:
        return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    assert net.normalisation is not None
    got = net.features(normalised(*net.normalisation))
    torch.testing.assert_close(got, library(normalised(*IMAGENET)), rtol=1e-4, atol=1e-4)
    again = Torchvision(spec, name="googlenet").eval()  # as a resumed run builds it
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again(pixels), net(pixels))


def test_normalisation_follows_the_argument_and_the_channels(caches: Path, make_spec: Make) -> None:
    publish(caches, "resnet18")
    assert Torchvision(make_spec()).normalisation is None
    kept = Torchvision(make_spec(), weights="DEFAULT", normalisation="data")
    assert kept.normalisation is None
    grey = Torchvision(make_spec(1), weights="DEFAULT").normalisation
    assert grey is not None
    assert [len(values) for values in grey] == [1, 1]
    assert grey[0][0] == pytest.approx((0.485 + 0.456 + 0.406) / 3)
    assert grey[1][0] == pytest.approx((0.229 + 0.224 + 0.225) / 3)


def test_a_weights_file_of_the_library_s_names_keeps_the_data_s_normalisation(
    tmp_path: Path, make_spec: Make
) -> None:
    model = torchvision.models.resnet18(num_classes=5).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w.pth")
    net = Torchvision(make_spec(), weights_file=str(tmp_path / "w.pth")).eval()
    torch.testing.assert_close(net(images()), model(images()))
    assert net.normalisation is None
    assert net.notes == [f"model.weights_file: {tmp_path / 'w.pth'}: 102 tensors loaded"]
    normed = Torchvision(make_spec(), weights_file=str(tmp_path / "w.pth"), head="weight_norm")
    assert any("fc.weight" in note for note in normed.notes), "a plain layer is no such head"


def test_weights_of_torchvision_fit_timm_by_name_or_order(tmp_path: Path, make_spec: Make) -> None:
    model = torchvision.models.resnet18().eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    model.fc = nn.Identity()
    for match in ("names", "order"):
        file = {"weights_file": str(tmp_path / "w.pth"), "weights_match": match}
        net = Timm(make_spec(), **file).eval()
        torch.testing.assert_close(net.features(images()), model(images()))
        assert any("fc.weight [1000, 512]" in note for note in net.notes)


def test_a_file_s_classifier_fills_timm_s_head(tmp_path: Path, make_spec: Make) -> None:
    model = timm.create_model("test_efficientnet", num_classes=5).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    file = str(tmp_path / "w.safetensors")
    net = Timm(make_spec(), name="test_efficientnet", weights_file=file).eval()
    torch.testing.assert_close(net(images()), model(images()))


def test_named_weights_of_timm_come_from_its_cache(caches: Path, make_spec: Make) -> None:
    repository = caches / "hub_cache" / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    model = timm.create_model("test_resnet").eval()
    save_file(model.state_dict(), repository / "snapshots" / "abc" / "model.safetensors")
    model.reset_classifier(0)
    for weights, name in (("r160_in1k", "test_resnet"), ("DEFAULT", "test_resnet.r160_in1k")):
        net = Timm(make_spec(), name=name, weights=weights).eval()
        torch.testing.assert_close(net.features(images()), model(images()))
        facts = timm.get_pretrained_cfg("test_resnet.r160_in1k")
        assert net.normalisation == (tuple(facts.mean), tuple(facts.std))


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


def test_without_a_network_it_says_which_file_to_put_where(caches: Path, make_spec: Make) -> None:
    with pytest.raises(ModelError) as caught:
        Torchvision(make_spec(), weights="DEFAULT")
    text = str(caught.value)
    assert "resnet18-f37072fd.pth" in text
    assert str(caches / "hub" / "checkpoints") in text
    assert "model.weights_file=" in text


def test_without_a_network_timm_names_its_file(
    make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("https_proxy")
    with pytest.raises(
        ModelError, match=r"model.safetensors .*timm/resnet18.a1_in1k.*weights_file"
    ):
        Timm(make_spec(), weights="DEFAULT")


def test_a_hostile_file_in_the_cache_is_not_executed(caches: Path, make_spec: Make) -> None:
    publish(caches, "resnet18")
    (path,) = (caches / "hub" / "checkpoints").iterdir()
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(ModelError, match="could not be fetched"):
        Torchvision(make_spec(), weights="DEFAULT")


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


def test_without_timm_it_says_how_to_get_it(
    make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as Python remembers a failed import
    with pytest.raises(ModelError, match=r"pip install 'burnish\[timm\]'"):
        Timm(make_spec())
