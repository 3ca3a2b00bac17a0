"""What the learning-rate check suggests for CIFAR-10's small net, against the net's default.

    python benchmarks/learning_rate.py data [--steps 600] [--limit 20000] [key=value ...]

data: the folder with cifar-10-batches-py. experiment=cifar10_net, its rate found by the range test
of `burnish diagnose`, then two trainings from the same weights with the same batches, one with the
suggested rate and one with the default. Printed: loss and accuracy on the validation split at ten
points of each, and the seconds that the range test took. More overrides go to both.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf

from burnish.build import build_data, build_module, build_trainer
from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.data.base import DataModule
from burnish.diagnosis.learning_rate import Curve, find
from burnish.diagnosis.subject import Subject
from burnish.learner.module import ClassifierModule

POINTS = 10


class Points(Callback):
    """Keeps the validation figures: step, loss, accuracy."""

    def __init__(self) -> None:
        self.figures: list[tuple[int, float, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = {name: float(v) for name, v in trainer.callback_metrics.items()}
        self.figures.append((trainer.global_step, found["val/loss"], found["val/accuracy"]))


def composed(arguments: argparse.Namespace, *more: str) -> Any:
    every = max(1, arguments.steps // POINTS)
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose("train", [
            "experiment=cifar10_net", "data.verify=false", f"data.root={arguments.root}",
            f"data.limit={arguments.limit}", "logger=none", "trainer.max_epochs=-1",
            f"trainer.max_steps={arguments.steps}", f"trainer.val_check_interval={every}",
            "trainer.check_val_every_n_epoch=null", *arguments.overrides, *more,
        ])  # fmt: skip
        config: Any = OmegaConf.to_container(cfg, resolve=True)
    return config | {"callbacks": {}}


def range_test(config: Any, data: DataModule) -> Curve:
    def make() -> ClassifierModule:
        pl.seed_everything(config["seed"], verbose=False)
        return build_module(config, data)

    inputs, targets = data.for_training(next(iter(data.train_dataloader())))
    return find(Subject(config, data, make, torch.device("cpu"), inputs, targets), seconds=600)


def train(config: Any, data: DataModule) -> list[tuple[int, float, float]]:
    pl.seed_everything(config["seed"], verbose=False)
    points, module = Points(), build_module(config, data)
    with tempfile.TemporaryDirectory() as folder:
        build_trainer(config, Path(folder), callbacks=[points]).fit(module, data)
    return points.figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="the folder with cifar-10-batches-py")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--limit", type=int, default=20_000, help="training samples")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    register()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    config = composed(arguments)
    data = build_data(config)
    curve = range_test(config, data)
    if curve.suggested is None:
        sys.exit("the loss falls at no rate")
    found = f"falls fastest at {curve.suggested:.2g}, diverges from {curve.diverges or 0:.2g} on"
    print(f"range test: {len(curve.rates)} steps, {curve.seconds:.0f} s; the loss {found}")
    rates = {"default": curve.configured, "suggested": curve.suggested}
    runs = {name: train(composed(arguments, f"optimizer.lr={rate}"), data)
            for name, rate in rates.items()}  # fmt: skip
    print(f"{'step':>6}" + "".join(f"{f'{n} {r:.2g}':>28}" for n, r in rates.items()))
    print(f"{'':>6}" + f"{'loss':>18}{'accuracy':>10}" * len(rates))
    for row in zip(*runs.values(), strict=True):
        cells = "".join(f"{loss:>18.4f}{accuracy:>10.4f}" for _, loss, accuracy in row)
        print(f"{row[0][0]:>6}{cells}")


if __name__ == "__main__":
    main()
