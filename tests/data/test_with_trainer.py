"""The data module in Lightning's hands."""

from __future__ import annotations

from itertools import chain
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from burnish.data.augment import RandomCrop
from burnish.data.digits import Digits
from burnish.errors import ConfigError


class Probe(pl.LightningModule):
    """Remembers the labels and pixel sums of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.labels: dict[str, list[list[int]]] = {"train": [], "val": [], "test": []}
        self.sums: dict[str, list[float]] = {"train": [], "val": [], "test": []}

    def see(self, split: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        assert images.dtype == torch.float32
        self.labels[split].append(labels.tolist())
        self.sums[split].append(images.double().sum().item())
        return nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.see("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.see("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.see("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)


def fitted(module: Digits, **arguments: Any) -> Probe:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    quiet |= {"enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", **quiet, **arguments)
    probe = Probe()
    trainer.fit(probe, datamodule=module)
    trainer.test(probe, datamodule=module, verbose=False)
    return probe


@pytest.mark.filterwarnings("ignore")
def test_lightning_moves_the_epoch_on_and_leaves_evaluation_plain() -> None:
    module = Digits(limit=200, batch_size=50, augment=[RandomCrop(1)])
    probe = fitted(module, max_epochs=2, num_sanity_val_steps=1)
    first, second = probe.labels["train"][:4], probe.labels["train"][4:]
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second))
    # A sanity check, then one validation an epoch: the same batch, not augmented, each time.
    assert len(probe.sums["val"]) == 3
    assert len(set(probe.sums["val"])) == 1
    assert sum(len(labels) for labels in probe.labels["test"]) == sum(module.class_counts["test"])
    loader = module.train_dataloader()
    loader.batch_sampler.set_epoch(1)
    assert [labels.tolist() for _, labels in loader] == second


@pytest.mark.filterwarnings("ignore")
def test_overfitting_sees_the_same_batches_in_each_epoch() -> None:
    probe = fitted(Digits(batch_size=16), max_epochs=2, overfit_batches=3)
    assert probe.labels["train"][:3] == probe.labels["train"][3:]


def test_too_few_samples_for_a_batch_are_refused() -> None:
    module = Digits(limit=10)
    module.setup("fit")
    module.trainer = pl.Trainer(
        accelerator="cpu", devices=6, logger=False, enable_checkpointing=False
    )
    assert module.trainer.world_size == 6
    with pytest.raises(ConfigError, match=r"^data\.limit: 10 training samples"):
        module.train_dataloader()
