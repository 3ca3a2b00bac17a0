"""Nets of timm; published weights are imitated by files in the hub's cache."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from burnish.errors import ModelError
from burnish.models.timm_nets import Timm
from burnish.spec import ImageSpec

pytestmark = pytest.mark.usefixtures("caches")
Make = Callable[..., ImageSpec]
Images = Callable[..., torch.Tensor]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_timm_takes_any_channels_and_size(name: str, channels: int, make_spec: Make) -> None:
    net = Timm(make_spec(channels, 64, 96), name=name)
    logits = net.eval()(torch.randn(2, channels, 64, 96))
    assert logits.shape == (2, 5)
    assert list(net.state_dict())[-2:] == ["head.weight", "head.bias"]


def test_a_file_s_classifier_fills_timm_s_head(
    tmp_path: Path, make_spec: Make, make_images: Images
) -> None:
    model = timm.create_model("test_efficientnet", num_classes=5).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    file = str(tmp_path / "w.safetensors")
    net = Timm(make_spec(), name="test_efficientnet", weights_file=file).eval()
    torch.testing.assert_close(net(make_images()), model(make_images()))


def test_named_weights_of_timm_come_from_its_cache(
    caches: Path, make_spec: Make, make_images: Images
) -> None:
    repository = caches / "hub_cache" / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    model = timm.create_model("test_resnet").eval()
    save_file(model.state_dict(), repository / "snapshots" / "abc" / "model.safetensors")
    model.reset_classifier(0)
    for weights, name in (("r160_in1k", "test_resnet"), ("DEFAULT", "test_resnet.r160_in1k")):
        net = Timm(make_spec(), name=name, weights=weights).eval()
        torch.testing.assert_close(net.features(make_images()), model(make_images()))
        facts = timm.get_pretrained_cfg("test_resnet.r160_in1k")
        assert net.normalisation == (tuple(facts.mean), tuple(facts.std))


def test_without_a_network_timm_names_its_file(
    make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("https_proxy")
    with pytest.raises(
        ModelError, match=r"model.safetensors .*timm/resnet18.a1_in1k.*weights_file"
    ):
        Timm(make_spec(), weights="DEFAULT")


def test_without_timm_it_says_how_to_get_it(
    make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as Python remembers a failed import
    with pytest.raises(ModelError, match=r"pip install 'burnish\[timm\]'"):
        Timm(make_spec())
