"""Trained-looking nets of conf/model and their bundles, for the tests of deploy."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from torch import nn

from burnish.build import build_net
from burnish.commands.exporting import made_up
from burnish.config.paths import conf_dir
from burnish.deploy.making import Trained
from burnish.spec import RESERVED, ImageSpec, Spec, TextSpec

CLASSES = ("ant", "bee", "wasp")
IMAGES = ImageSpec(3, 32, 32, CLASSES, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))
TEXTS = TextSpec(CLASSES, "char", (*RESERVED, *"abcdefghijklmnopqrstuvwxyz"), 40)
OF_TEXTS = ("bag_of_embeddings", "bilstm", "text_cnn", "text_transformer")
MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))


def spec_for(name: str) -> Spec:
    return TEXTS if name in OF_TEXTS else IMAGES


def net_of(name: str, **changes: object) -> nn.Module:
    """Random weights, and running statistics that change what passes."""
    node = yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    net = build_net({"model": {**node, **changes}}, spec_for(name), pretrained=False).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return net


def trained(net: nn.Module, spec: Spec, folder: Path, name: str = "a-run") -> Trained:
    """As an export gets it from a run."""
    config = folder / "config.yaml"
    config.write_text("seed: 0\n")
    sample = made_up(spec)
    return Trained(net, spec, config, name, {"run": name}, sample, lambda: sample)
