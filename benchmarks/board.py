"""What callbacks.tensorboard adds to a training, all of it and switch by switch.

    python benchmarks/board.py

CPU time on one thread with images of CIFAR-10's shape and nets of conf/. First whole trainings
without and with all switches, interleaved, medians. Then one training for each switch alone: the
seconds that the callback itself takes. What is written from the validation split depends on its
size, histograms and the graph on the net, nothing on the length of an epoch.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.profilers import Profiler
from omegaconf import OmegaConf

from burnish.build import build_module, build_trainer
from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.data.base import Sources
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table

TRAIN, VALIDATION, CLASSES = 2560, 5000, 10
EPOCHS = 2
ROUNDS = 3
SWITCHES = {
    "graph": "run", "histograms": "epoch", "inputs": "run", "mistakes": "epoch",
    "pr_curves": "epoch", "confusion": "epoch", "embeddings": "run", "hparams": "run",
    "config": "run",
}  # fmt: skip


class RandomTables(ImageDataModule):
    """Random images in memory: the values do not matter to the clock."""

    def __init__(self) -> None:
        super().__init__(batch_size=128, mean=[0.5] * 3, std=[0.25] * 3)

    def read(self) -> Sources:
        names = tuple(f"class {i}" for i in range(CLASSES))
        return Sources(random_table(TRAIN), random_table(VALIDATION), None, names, "random")


def random_table(samples: int) -> Table:
    generator = torch.Generator().manual_seed(samples)
    images = torch.randint(0, 256, (samples, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Table(images, torch.randint(0, CLASSES, (samples,), generator=generator))


class Clock(Profiler):
    """CPU time in the hooks of the callback."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._started: dict[str, float] = defaultdict(float)

    def start(self, action_name: str) -> None:
        self._started[action_name] = time.process_time()

    def stop(self, action_name: str) -> None:
        if action_name.startswith("[Callback]Board"):
            self.seconds += time.process_time() - self._started[action_name]


def config_of(model: str, *switches: str) -> dict[str, Any]:
    register()
    own = [f"callbacks.tensorboard.{name}={str(name in switches).lower()}" for name in SWITCHES]
    enabled = f"callbacks.tensorboard.enabled={str(bool(switches)).lower()}"
    common = ["name=bench", "trainer=cpu", f"trainer.max_epochs={EPOCHS}", f"model={model}"]
    quiet = "callbacks.progress.enabled=false"
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose("train", [*common, quiet, enabled, *own])
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def trained(config: dict[str, Any], data: ImageDataModule) -> tuple[float, float]:
    """CPU seconds of the training, and of the callback in it."""
    trainer, clock = build_trainer(config, Path(tempfile.mkdtemp())), Clock()
    module = build_module(config, data)
    trainer.profiler = clock
    start = time.process_time()
    trainer.fit(module, data)
    return time.process_time() - start, clock.seconds


def main() -> None:
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "burnish"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    data = RandomTables()
    data.setup()
    model = "simple_cnn"
    trained(config_of(model, *SWITCHES), data)  # fonts are looked up once a machine
    seconds: dict[str, list[float]] = {"off": [], "all on": []}
    for _ in range(ROUNDS):
        seconds["off"].append(trained(config_of(model), data)[0])
        seconds["all on"].append(trained(config_of(model, *SWITCHES), data)[0])
    off, on = (statistics.median(values) for values in seconds.values())
    print(f"{model}, {EPOCHS} epochs of {TRAIN:,} training and {VALIDATION:,} validation images")
    more = f"{(on - off) / EPOCHS:.2f} s more an epoch"
    print(f"  off {off:.2f} s, all on {on:.2f} s: {on / off:.2f}x, {more}")
    for name in SWITCHES:
        print_switch(name, model, data)


def print_switch(name: str, model: str, data: ImageDataModule) -> None:
    _, own = trained(config_of(model, name), data)
    per = SWITCHES[name]
    each = own / EPOCHS if per == "epoch" else own
    article = "an" if per == "epoch" else "a"
    print(f"  {name:<12}{model:<12}{each:>8.3f} s {article} {per}")


if __name__ == "__main__":
    main()
