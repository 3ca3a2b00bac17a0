"""Explanations against captum, against arithmetic, and against data whose clue is known."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from captum.attr import LayerGradCam, LayerIntegratedGradients
from torch import nn

from burnish.errors import ModelError
from burnish.models.cnn import CIFAR10Net, SimpleCNN
from burnish.models.mlp import MLP
from burnish.models.resnet import resnet18
from burnish.models.text_attention import TextTransformer
from burnish.models.text_bag import BagOfEmbeddings
from burnish.models.text_cnn import TextCNN
from burnish.models.text_recurrent import BiLSTM
from burnish.report.explain import embedding_of, grad_cam, integrated_gradients, last_convolution
from burnish.spec import RESERVED, ImageSpec, TextSpec

IMAGES = ImageSpec(3, 32, 32, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
TEXTS = TextSpec(("a", "b", "c"), "word", (*RESERVED, *(f"w{i}" for i in range(50))), 24)
TEXT_NETS = {
    "bag": BagOfEmbeddings,
    "ngrams": partial(BagOfEmbeddings, ngrams=3, buckets=64),
    "cnn": TextCNN,
    "bilstm_last": BiLSTM,
    "bilstm_max": partial(BiLSTM, pooling="max"),
    "transformer": TextTransformer,
}
# Zero-initialised blocks have no gradient before the first step.
RESNET = partial(resnet18, zero_init_residual=False)
CLASSES = torch.tensor([0, 1, 2, 0])


def made(make, spec) -> nn.Module:
    torch.manual_seed(0)
    return make(spec)


def texts() -> torch.Tensor:
    """Four texts of different lengths, the last without a token."""
    ids = torch.randint(1, 52, (4, 20), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate((20, 5, 1, 0)):
        ids[row, length:] = 0
    return ids


@pytest.mark.parametrize("make", [SimpleCNN, CIFAR10Net, RESNET])
def test_grad_cam_is_captums(make):
    net, inputs = made(make, IMAGES), torch.randn(4, 3, 32, 32)
    layer = last_convolution(net, inputs)
    found = grad_cam(net, inputs, CLASSES, layer)
    reference = LayerGradCam(net.eval(), net.get_submodule(layer))
    expected = reference.attribute(inputs, target=CLASSES, relu_attributions=True)[:, 0]
    assert found.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_grad_cam_by_hand():
    # Two maps, x and -2x; class 0 reads the first, class 1 the second, each by its mean.
    net = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -2.0]).view(2, 1, 1, 1))
        net[3].weight.copy_(torch.tensor([[4.0, 0.0], [0.0, 8.0]]))
    x = torch.tensor([[1.0, -1.0], [2.0, 0.0]]).expand(2, 1, 2, 2)
    # The mean over four places has slope 1/4: weights 4/4 and 8/4 of the maps.
    expected = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]]])
    assert torch.equal(grad_cam(net, x, torch.tensor([0, 1]), "0"), expected)


def cornered(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of 16x16; the class, of two, shows in stripes in the upper left quarter alone."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.randn(size, 1, 16, 16, generator=generator)
    labels = torch.arange(size) % 2
    stripes = torch.tensor([2.0, -2.0]).repeat(4).expand(8, 8)
    images[:, 0, :8, :8] += torch.where(labels.view(-1, 1, 1) == 0, stripes, stripes.T)
    return images, labels


def test_the_heat_lies_where_the_class_shows():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for step in range(60):
        images, labels = cornered(64, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    images, labels = cornered(100, 1000)
    assert (net(images).argmax(1) == labels).float().mean() > 0.98
    heat = grad_cam(net, images, labels, last_convolution(net, images))
    share = heat[:, :8, :8].sum() / heat.sum()
    assert share > 0.7  # of a quarter of the area: 7 times as dense as elsewhere


@pytest.mark.parametrize("name", TEXT_NETS)
def test_attributions_add_up_to_what_the_text_changes(name):
    net = made(TEXT_NETS[name], TEXTS)
    ids = texts()
    found = integrated_gradients(net, ids, CLASSES)
    largest = found.difference.abs().max()
    assert largest > 0.004
    torch.testing.assert_close(found.sum, found.difference, rtol=0, atol=0.02 * float(largest))
    assert (found.scores[ids == 0] == 0).all()
    assert found.difference[3] == 0
    with torch.no_grad():
        net.eval().embedding.weight.zero_()
        if name == "ngrams":
            net.ngram_embedding.weight.zero_()
        start = net(ids).gather(1, CLASSES[:, None])[:, 0]
        end = made(TEXT_NETS[name], TEXTS).eval()(ids).gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(found.difference, end - start)


@pytest.mark.parametrize("name", sorted(TEXT_NETS.keys() - {"ngrams"}))
def test_attributions_are_captums(name):
    net, ids = made(TEXT_NETS[name], TEXTS), texts()
    found = integrated_gradients(net, ids, CLASSES, steps=32)
    reference = LayerIntegratedGradients(net.eval(), net.embedding)
    expected = reference.attribute(
        ids, torch.zeros_like(ids), target=CLASSES, n_steps=32, method="gausslegendre"
    ).sum(-1)  # fmt: skip
    torch.testing.assert_close(found.scores, expected[:, : ids.shape[1]], rtol=1e-3, atol=1e-5)


def test_attributions_by_hand():
    # The logit is the mean of the tokens' vectors times the head: each token adds its own part.
    net = made(partial(BagOfEmbeddings, width=2), TEXTS)
    with torch.no_grad():
        net.embedding.weight[5] = torch.tensor([1.0, 2.0])
        net.embedding.weight[6] = torch.tensor([-3.0, 0.0])
        net.head.weight[1] = torch.tensor([2.0, 4.0])
    found = integrated_gradients(net, torch.tensor([[5, 6, 0]]), torch.tensor([1]), steps=3)
    torch.testing.assert_close(found.scores, torch.tensor([[5.0, -3.0, 0.0]]))
    torch.testing.assert_close(found.difference, torch.tensor([2.0]))


def test_many_texts_at_once_are_as_one_by_one(monkeypatch):
    net, ids = made(BiLSTM, TEXTS), texts()
    at_once = integrated_gradients(net, ids, CLASSES, steps=7)
    monkeypatch.setattr("burnish.report.explain.ROWS", 8)  # two points a pass, the last alone
    torch.testing.assert_close(integrated_gradients(net, ids, CLASSES, steps=7), at_once)
    for row in range(3):
        alone = integrated_gradients(net, ids[row : row + 1], CLASSES[row : row + 1], steps=7)
        torch.testing.assert_close(alone.scores[0], at_once.scores[row])


class Shuffled(nn.Module):
    """Registers its convolutions in another order than it runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(4, 4, 1)
        self.first = nn.Conv2d(1, 4, 3)
        self.unused = nn.Conv2d(1, 1, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        y = self.last(self.first(x)).mean((2, 3), keepdim=True)
        return self.head(self.squeeze(y).flatten(1))


def test_the_last_convolution_is_the_last_that_runs_on_a_map():
    net, inputs = Shuffled(), torch.randn(1, 1, 8, 8)
    assert last_convolution(net, inputs) == "last"
    assert last_convolution(net) == "unused"
    assert last_convolution(made(MLP, IMAGES), torch.randn(1, 3, 32, 32)) is None
    assert last_convolution(nn.Linear(1, 1)) is None


def test_the_layer_of_the_embeddings():
    assert embedding_of(made(TextTransformer, TEXTS)) == "embedding"
    assert embedding_of(made(SimpleCNN, IMAGES)) is None


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("layer4.1.conv3", r"no such layer; did you mean layer4\.1\.conv\d\? its .*: conv1, layer"),
        ("", "^layer=: ResNet has no such layer; its convolutions: conv1, "),
        ("head", "^layer=head: its output is no map; its convolutions: conv1"),
        ("layer4.1.downsample.0", "^layer=layer4.1.downsample.0: ResNet has no such layer"),
    ],
)
def test_layers_that_cannot_be_explained(layer, message):
    net = made(resnet18, IMAGES)
    with pytest.raises(ModelError, match=message):
        grad_cam(net, torch.randn(1, 3, 32, 32), CLASSES[:1], layer)
    with pytest.raises(ModelError, match=r"^layer=unused: the net does not run it"):
        grad_cam(Shuffled(), torch.randn(1, 1, 8, 8), CLASSES[:1], "unused")
    with pytest.raises(ModelError, match=r"^MLP has no nn\.Embedding"):
        integrated_gradients(made(MLP, IMAGES), texts(), CLASSES)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_net_is_left_as_it_was(kind):
    """In inference mode, partly frozen, with gradients of a step, half in evaluation mode."""
    net = made(*{"image": (RESNET, IMAGES), "text": (BiLSTM, TEXTS)}[kind])
    for parameter in net.parameters():
        parameter.requires_grad_(parameter.dim() == 1)
        parameter.grad = torch.full_like(parameter, 7.0) if parameter.dim() == 1 else None
    next(iter(net.children())).eval()
    modes = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    with torch.inference_mode():
        images, ids = torch.randn(4, 3, 32, 32), texts()
        random = torch.get_rng_state()
        if kind == "image":
            found = grad_cam(net, images, CLASSES, "layer4.1.conv2")
        else:
            found = integrated_gradients(net, ids, CLASSES, steps=4).scores
    assert found.abs().sum() > 0
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in net.modules()] == modes
    for parameter in net.parameters():
        assert parameter.requires_grad == (parameter.dim() == 1)
        assert parameter.grad is None if parameter.dim() > 1 else (parameter.grad == 7).all()
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.gpu
@pytest.mark.parametrize("name", TEXT_NETS)
def test_recurrent_nets_can_be_explained_on_a_gpu(name):
    net, ids = made(TEXT_NETS[name], TEXTS), texts()
    expected = integrated_gradients(net, ids, CLASSES)
    found = integrated_gradients(net.cuda(), ids.cuda(), CLASSES.cuda())
    torch.testing.assert_close(found.scores.cpu(), expected.scores, rtol=1e-2, atol=1e-4)
