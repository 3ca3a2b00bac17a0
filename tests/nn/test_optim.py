from __future__ import annotations

import pytest
import torch
from torch import nn

from burnish.errors import ConfigError
from burnish.nn.optim import fused_by_default, parameter_groups


class Odd(nn.Module):
    """One of each kind: embedding, two-dimensional norm, tied and frozen weights, bare vector."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.conv = nn.Conv2d(1, 2, 3)
        self.batch_norm = nn.BatchNorm2d(2)
        self.layer_norm = nn.LayerNorm((3, 4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(4))
        self.head = nn.Linear(4, 7)
        self.head.weight = self.embedding.weight


def names_of(module: nn.Module, group: dict[str, object]) -> list[str]:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    params = group["params"]
    assert isinstance(params, list)
    return [names[id(parameter)] for parameter in params]


def test_norms_biases_and_vectors_do_not_decay() -> None:
    module = Odd()
    decayed, spared = parameter_groups(module, 0.05, decay_norms_and_biases=False)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert names_of(module, decayed) == ["embedding.weight", "conv.weight"]
    assert names_of(module, spared) == [
        "scale",
        "conv.bias",
        "batch_norm.weight",
        "batch_norm.bias",
        "layer_norm.weight",
        "layer_norm.bias",
        "head.bias",
    ]


def test_all_decay_if_asked() -> None:
    module = Odd()
    (group,) = parameter_groups(module, 0.05, decay_norms_and_biases=True)
    assert group["weight_decay"] == 0.05
    trainable = [name for name, p in module.named_parameters() if p.requires_grad]
    assert names_of(module, group) == trainable


def test_empty_groups_are_left_out() -> None:
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1, False)) == 1
    assert [g["weight_decay"] for g in parameter_groups(nn.BatchNorm1d(2), 0.1, False)] == [0.0]


def test_a_net_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model: every parameter is frozen"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), 0.1, False)


def test_decay_moves_only_what_decays() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    optimizer = torch.optim.SGD(parameter_groups(module, 0.5, False), lr=0.1)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, value in module.state_dict().items():
        factor = 0.95 if key == "0.weight" else 1.0
        torch.testing.assert_close(value, factor * before[key])


def test_fused_is_chosen_on_the_cpu_only() -> None:
    here, elsewhere = torch.zeros(2), torch.zeros(2, device="meta")
    assert fused_by_default(None, [here]) is True
    assert fused_by_default(None, [here, elsewhere]) is None
    assert fused_by_default(False, [here]) is False
    assert fused_by_default(True, [elsewhere]) is True


class Tuned(nn.Module):
    """A backbone and a head, each with something that decays and something that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
        self.head = nn.Linear(3, 2)


def test_the_backbone_learns_at_a_rate_of_its_own() -> None:
    net = Tuned()
    groups = parameter_groups(net, 0.1, False, lr=0.5, backbone_lr_scale=0.01)
    assert [(g["name"], g["weight_decay"], g.get("lr"), names_of(net, g)) for g in groups] == [
        ("decay", 0.1, None, ["head.weight"]),
        ("no_decay", 0.0, None, ["head.bias"]),
        ("backbone_decay", 0.1, 0.005, ["backbone.0.weight"]),
        (
            "backbone_no_decay",
            0.0,
            0.005,
            ["backbone.0.bias", "backbone.1.weight", "backbone.1.bias"],
        ),
    ]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD([{**g, "weight_decay": 0.0} for g in groups], lr=0.5).step()
    for key, value in net.state_dict().items():
        step = 0.5 if key.startswith("head") else 0.005
        torch.testing.assert_close(value, before[key] - step)


def test_a_scale_with_all_decaying_makes_two_groups() -> None:
    groups = parameter_groups(Tuned(), 0.1, True, lr=1.0, backbone_lr_scale=0.0)
    assert [(g["name"], g.get("lr")) for g in groups] == [("decay", None), ("backbone_decay", 0.0)]


def test_a_frozen_backbone_leaves_the_head_s_groups_only() -> None:
    net = Tuned()
    net.backbone.requires_grad_(False)
    groups = parameter_groups(net, 0.1, False, lr=1.0, backbone_lr_scale=0.1)
    assert [g["name"] for g in groups] == ["decay", "no_decay"]


def test_a_scale_is_refused_where_it_means_nothing() -> None:
    with pytest.raises(ConfigError, match=r"^optimizer.backbone_lr_scale: .* Linear has none"):
        parameter_groups(nn.Linear(2, 2), 0.1, False, lr=1.0, backbone_lr_scale=0.1)
    with pytest.raises(ConfigError, match=r"^optimizer.backbone_lr_scale: .* at least 0"):
        parameter_groups(Tuned(), 0.1, False, lr=1.0, backbone_lr_scale=-0.1)
    with pytest.raises(ConfigError, match=r"^optimizer.backbone_lr_scale: needs optimizer.lr"):
        parameter_groups(Tuned(), 0.1, False, backbone_lr_scale=0.1)
