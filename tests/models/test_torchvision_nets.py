"""Nets of torchvision; published weights are imitated by files in its cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from burnish.errors import ModelError
from burnish.models.torchvision_nets import Torchvision
from burnish.spec import ImageSpec

pytestmark = pytest.mark.usefixtures("caches")
Make = Callable[..., ImageSpec]
Images = Callable[..., torch.Tensor]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


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
def test_torchvision_families_take_the_data_s_classes(
    name: str, make_spec: Make, make_images: Images
) -> None:
    net = Torchvision(make_spec(height=64, width=64), name=name)
    assert net.training
    logits = net.eval()(make_images())
    assert logits.shape == (2, 5)
    assert list(net.state_dict())[-2:] == ["head.weight", "head.bias"]
    assert not any(w.shape[0] == 1000 for w in net.parameters()), "the old classifier is gone"
    logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


# squeezenet has no statistics, mnasnet and densenet have files of older versions
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mnasnet0_5"])
def test_named_weights_of_torchvision_compute_what_the_library_computes(
    name: str, caches: Path, make_spec: Make, make_images: Images
) -> None:
    model = publish(caches, name)
    spec = make_spec(height=64, width=64, classes=1000)
    net = Torchvision(spec, name=name, weights="DEFAULT").eval()
    assert net.normalisation == IMAGENET
    assert "tensors loaded" in net.notes[0]
    if name != "squeezenet1_1":  # there a ReLU and the pooling come after its classifier
        torch.testing.assert_close(net(make_images()), model(make_images()))
    else:
        want = model.features(make_images()).relu().mean(dim=(2, 3))
        torch.testing.assert_close(net.features(make_images()), want)


def test_a_new_number_of_classes_leaves_the_classifier_out(
    caches: Path, make_spec: Make, make_images: Images
) -> None:
    model = publish(caches, "resnet18")
    net = Torchvision(make_spec(), weights="ResNet18_Weights.IMAGENET1K_V1").eval()
    model.fc = nn.Identity()
    torch.testing.assert_close(net.features(make_images()), model(make_images()))
    assert any("fc.weight [1000, 512]" in note for note in net.notes)


def test_names_in_densenet_s_old_files_are_understood(
    caches: Path, make_spec: Make, make_images: Images
) -> None:
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
    torch.testing.assert_close(net.features(make_images()), model(make_images()))


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


def test_without_a_network_it_says_which_file_to_put_where(caches: Path, make_spec: Make) -> None:
    with pytest.raises(ModelError) as caught:
        Torchvision(make_spec(), weights="DEFAULT")
    text = str(caught.value)
    assert "resnet18-f37072fd.pth" in text
    assert str(caches / "hub" / "checkpoints") in text
    assert "model.weights_file=" in text


def test_a_hostile_file_in_the_cache_is_not_executed(caches: Path, make_spec: Make) -> None:
    publish(caches, "resnet18")
    (path,) = (caches / "hub" / "checkpoints").iterdir()
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(ModelError, match="could not be fetched"):
        Torchvision(make_spec(), weights="DEFAULT")
