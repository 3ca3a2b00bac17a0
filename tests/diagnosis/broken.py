"""Runs that cannot work, each for one reason: nets and data of one's own, as EXTENDING.md shows.

``python src/diagnose.py trust=[broken] data._target_=broken.Shuffled``, in this folder.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from burnish.data.base import Sources
from burnish.data.digits import Digits
from burnish.data.loading import Table
from burnish.models.mlp import MLP
from burnish.spec import ImageSpec


class Shuffled(Digits):
    """Labels that went astray: each image has another one's."""

    def read(self) -> Sources:
        """The digits, their labels permuted."""
        sources = super().read()
        train = sources.train
        assert isinstance(train, Table)
        order = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(0))
        return dataclasses.replace(sources, train=Table(train.images, train.labels[order]))


class Raw(Digits):
    """Pixels from 0 to 255, as they come."""

    def preprocess(self, inputs: Tensor) -> Tensor:
        """Floats, but not normalised."""
        return inputs.float()


class Frozen(MLP):
    """Nothing of it is trained: a freeze that was forgotten."""

    def __init__(self, spec: ImageSpec, **options: object) -> None:
        super().__init__(spec, **options)  # type: ignore[arg-type]
        self.requires_grad_(False)


class Probable(MLP):
    """Returns probabilities, to which the loss applies its softmax once more."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Probabilities, ``[B, num_classes]``."""
        return super().forward(x_BCHW).softmax(1)


class Dead(MLP):
    """Biases so low that no ReLU ever opens."""

    def __init__(self, spec: ImageSpec, **options: object) -> None:
        super().__init__(spec, **options)  # type: ignore[arg-type]
        for module in self.body:
            if isinstance(module, nn.Linear):
                nn.init.constant_(module.bias, -10.0)


class Lazy(torch.optim.Optimizer):
    """An optimizer that changes nothing."""

    def __init__(self, params: object, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})  # type: ignore[arg-type]

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Leave everything as it is."""


# Set-up -> the check that must name it, and the overrides that make it.
HEALTHY = ("model=mlp", "data.batch_size=64")
SETUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "healthy": ("", ()),
    "labels shuffled": ("signal", ("data._target_=broken.Shuffled",)),
    "inputs not normalised": ("inputs", ("data._target_=broken.Raw",)),
    "learning rate 1000 times too high": ("learning rate", ("optimizer.lr=1.0",)),
    "net frozen": ("gradients", ("model._target_=broken.Frozen",)),
    "optimizer that changes nothing": (
        "gradients",
        ("optimizer=sgd", "optimizer._target_=broken.Lazy", "~optimizer.momentum",
         "~optimizer.dampening", "~optimizer.nesterov", "~optimizer.maximize",
         "~optimizer.foreach", "~optimizer.fused"),
    ),
    "softmax before the loss": ("outputs", ("model._target_=broken.Probable",)),
    "dead ReLUs": ("dead units", ("model._target_=broken.Dead",)),
}  # fmt: skip
