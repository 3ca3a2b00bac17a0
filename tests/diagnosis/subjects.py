"""Runs that have not begun, made as the command makes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

from burnish.build import build_data, build_module
from burnish.diagnosis.subject import Subject
from burnish.learner.module import ClassifierModule
from launch import composed


def subject_of(*overrides: str) -> Subject:
    """A run on the CPU of the composed configuration, digits and simple_cnn by default."""
    config = composed("name=tiny", "trainer=cpu", "callbacks=none", "logger=none", *overrides)
    data = build_data(config)

    def make() -> ClassifierModule:
        pl.seed_everything(config["seed"], verbose=False)
        return build_module(config, data)

    inputs, targets = data.for_training(next(iter(data.train_dataloader())))
    return Subject(config, data, make, torch.device("cpu"), inputs, targets)


def with_net(subject: Subject, net: Any) -> Subject:
    """The same run with another net, made by ``net()``."""

    def make() -> ClassifierModule:
        module = subject.make()
        torch.manual_seed(0)
        made: nn.Module = net()
        module.net = made
        return module

    return replace(subject, make=make)
