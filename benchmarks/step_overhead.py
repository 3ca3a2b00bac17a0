"""What burnish adds to a training step, against a raw PyTorch loop with the same features.

    python benchmarks/step_overhead.py

Both train the same net from the same tables with the same optimizer, and both keep loss, accuracy
and learning rate in TensorBoard and metrics.csv, check the loss, save checkpoints and validate each
epoch, all on one thread. CPU time per step of whole epochs, interleaved rounds, median. A third
column is what most templates do: a DataLoader that collates samples, and torchmetrics and self.log
at every step.
"""

from __future__ import annotations

import csv
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter
from torchmetrics.classification import MulticlassAccuracy

from burnish.build import build_module, build_net, build_trainer
from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.data.base import Sources
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table
from burnish.nn.optim import parameter_groups

EVERY = 50  # steps between two rows in the logs, Lightning's default
ROUNDS = 5
CLASSES = 10


class RandomTables(ImageDataModule):
    """Random images in memory: the values do not matter to the clock."""

    def __init__(self, shape: tuple[int, int, int], samples: int, batch_size: int) -> None:
        channels = shape[0]
        super().__init__(batch_size=batch_size, mean=[0.5] * channels, std=[0.25] * channels)
        self.tables = [random_table(shape, n) for n in (samples, 512)]

    def read(self) -> Sources:
        train, val = self.tables
        return Sources(train, val, None, tuple(map(str, range(CLASSES))), "random")


def random_table(shape: tuple[int, int, int], samples: int) -> Table:
    generator = torch.Generator().manual_seed(samples)
    images = torch.randint(0, 256, (samples, *shape), dtype=torch.uint8, generator=generator)
    return Table(images, torch.randint(0, CLASSES, (samples,), generator=generator))


def config_of(overrides: list[str]) -> dict[str, Any]:
    register()
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose("train", ["name=bench", "trainer=cpu", "trainer.max_epochs=1", *overrides])
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def adamw(net: nn.Module) -> torch.optim.Optimizer:
    groups = parameter_groups(net, 0.01, False)
    return torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.01, fused=True)


def raw(config: dict[str, Any], data: ImageDataModule) -> float:
    """A hand-written loop that keeps the same books."""
    net = build_net(config, data.spec)
    optimizer, loss_of = adamw(net), nn.CrossEntropyLoss()
    (train, _), (val, _) = data.splits["train"], data.splits["val"]
    folder = Path(tempfile.mkdtemp())
    writer = SummaryWriter(folder)

    def log(step: int, figures: dict[str, float]) -> None:
        if not math.isfinite(figures["loss"]):
            raise FloatingPointError
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        with (folder / "metrics.csv").open("a", newline="") as file:
            csv.writer(file).writerow([step, *figures.values()])

    def batches(table: Table, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in order.split(size):
            images = table.images[rows].float().div_(255).sub_(0.5).div_(0.25)
            yield images, table.labels[rows]

    start = time.process_time()
    order = torch.randperm(len(train.labels))
    hits, total, seen, losses = 0, 0.0, 0, []
    correct: list[Tensor] = []
    for step, (images, labels) in enumerate(batches(train, order, data.batch_size)):
        logits = net(images)
        loss = loss_of(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        correct.append((logits.detach().argmax(1) == labels).sum())
        seen += len(labels)
        if (step + 1) % EVERY == 0:
            mean, hit = torch.stack(losses).mean().item(), torch.stack(correct).sum().item()
            rate = optimizer.param_groups[0]["lr"]
            log(step, {"loss": mean, "accuracy": hit / seen, "lr": rate})
            hits, total = hits + int(hit), total + mean
            seen, losses, correct = 0, [], []
    net.eval()
    with torch.inference_mode():
        outputs = [
            (loss_of(logits := net(x), y), (logits.argmax(1) == y).sum())
            for x, y in batches(val, torch.arange(len(val.labels)), 512)
        ]
    log(step, {"loss": float(outputs[0][0]), "accuracy": float(outputs[0][1]) / len(val.labels)})
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.ckpt")
    writer.close()
    return (time.process_time() - start) / (step + 1)


class Clock(pl.Callback):
    """CPU time from the first step's start to the end of the last epoch, checkpoints included."""

    start = end = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.start = time.process_time()

    def on_train_end(self, *_: Any) -> None:
        self.end = time.process_time()


def ours(config: dict[str, Any], data: ImageDataModule) -> float:
    """The default callbacks and loggers of conf/."""
    module, clock = build_module(config, data), Clock()
    trainer = build_trainer(config, Path(tempfile.mkdtemp()), callbacks=[clock])
    trainer.fit(module, data)
    return (clock.end - clock.start) / trainer.global_step


class Template(pl.LightningModule):
    """The usual pattern: a metric object and self.log at every step."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.loss = net, nn.CrossEntropyLoss()
        self.train_accuracy = MulticlassAccuracy(CLASSES, average="micro")
        self.val_accuracy = MulticlassAccuracy(CLASSES, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        logits = self.net(images)
        loss = self.loss(logits, labels)
        self.train_accuracy(logits, labels)
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("train/accuracy", self.train_accuracy, on_step=False, on_epoch=True)
        return loss  # type: ignore[no-any-return]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self.net(images)
        self.val_accuracy(logits, labels)
        self.log("val/loss", self.loss(logits, labels), prog_bar=True)
        self.log("val/accuracy", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adamw(self.net)


def template(config: dict[str, Any], data: ImageDataModule) -> float:
    """A DataLoader over samples, ModelCheckpoint, EarlyStopping, TensorBoard."""
    loaders = []
    for name, size in (("train", data.batch_size), ("val", 512)):
        table = data.splits[name][0]
        samples = TensorDataset(data.preprocess(table.images), table.labels)
        loaders.append(DataLoader(samples, batch_size=size, shuffle=name == "train"))
    clock, folder = Clock(), tempfile.mkdtemp()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[
            pl.callbacks.ModelCheckpoint(folder, monitor="val/accuracy", mode="max"),
            pl.callbacks.EarlyStopping("val/accuracy", mode="max"),
            pl.callbacks.LearningRateMonitor("step"),
            clock,
        ],
        logger=pl.loggers.TensorBoardLogger(folder),
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Template(build_net(config, data.spec)), *loaders)
    return (clock.end - clock.start) / trainer.global_step


CASES: dict[str, tuple[list[str], tuple[int, int, int], int, int]] = {
    # name: overrides, image shape, batch size, steps
    "MLP, 28x28, batch 64": (["model=mlp"], (1, 28, 28), 64, 600),
    "MLP, 8x8, batch 64": (["model=mlp"], (1, 8, 8), 64, 600),
    "small CNN, batch 128": (["model=simple_cnn"], (3, 32, 32), 128, 60),
}
LOOPS: dict[str, Callable[[dict[str, Any], ImageDataModule], float]] = {
    "raw loop": raw,
    "burnish": ours,
    "usual template": template,
}


def main() -> None:
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "burnish"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"{'':<24}" + "".join(f"{name:>18}" for name in LOOPS))
    for case, (overrides, shape, batch_size, steps) in CASES.items():
        config = config_of(overrides)
        data = RandomTables(shape, batch_size * steps, batch_size)
        data.setup()
        seconds: dict[str, list[float]] = {name: [] for name in LOOPS}
        for _ in range(ROUNDS):
            for name, loop in LOOPS.items():
                seconds[name].append(loop(config, data))
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        unit = medians["raw loop"]
        row = "".join(f"{m * 1e6:>9.0f} us{m / unit:>5.2f}x" for m in medians.values())
        print(f"{case:<24}{row}")


if __name__ == "__main__":
    main()
