"""Which weights and which statistics move, with a real Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.errors import ConfigError
from burnish.learner.freeze import Freeze
from burnish.learner.module import ClassifierModule
from burnish.nn.optim import parameter_groups

State = dict[str, torch.Tensor]


class Net(nn.Module):
    """Norm and dropout inside the backbone, dropout before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)
        )
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.backbone(x)))
        return logits


class Headless(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(16, 3))


def make_module(net: nn.Module | None = None) -> ClassifierModule:
    torch.manual_seed(0)
    return ClassifierModule(
        net or Net(),
        nn.CrossEntropyLoss(),
        3,
        optimizer=lambda n: torch.optim.SGD(
            parameter_groups(n, 0.1, False), lr=0.1, momentum=0.9, weight_decay=0.1
        ),
    )


def loader() -> DataLoader[Any]:
    images = torch.randn(24, 1, 4, 4, generator=torch.Generator().manual_seed(1)) + 2
    return DataLoader(TensorDataset(images, torch.arange(24) % 3), batch_size=8)


class Watch(Callback):
    """Notes the state at the end of each epoch, and the modes at each batch."""

    def __init__(self, stop_after: tuple[int, int] | None = None) -> None:
        self.epochs: dict[int, State] = {}
        self.modes: dict[int, set[tuple[bool, bool, bool]]] = {}
        self.stop_after = stop_after
        self.saved: Path | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *rest: Any) -> None:
        net, epoch = pl_module.net, trainer.current_epoch
        modes = (any(m.training for m in net.backbone.modules()), net.dropout.training)
        self.modes.setdefault(epoch, set()).add((*modes, net.head.training))
        if self.stop_after == (epoch, rest[-1]):
            self.saved = Path(trainer.default_root_dir) / "middle.ckpt"
            trainer.save_checkpoint(self.saved)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        state = pl_module.net.state_dict()
        self.epochs[trainer.current_epoch] = {k: v.clone() for k, v in state.items()}


def fit(
    folder: Path,
    module: ClassifierModule,
    *callbacks: Callback,
    epochs: int = 2,
    ckpt: Path | None = None,
    **options: Any,
) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(module, loader(), loader(), ckpt_path=ckpt and str(ckpt))
    return trainer


def moved(before: State, after: State) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


HEAD = {"head.weight", "head.bias"}


def test_only_the_head_trains_and_no_statistics_move(tmp_path: Path) -> None:
    module, watch = make_module(), Watch()
    before = {k: v.clone() for k, v in module.net.state_dict().items()}
    trainer = fit(tmp_path, module, Freeze(), watch, val_check_interval=2)
    assert moved(before, module.net.state_dict()) == HEAD
    assert watch.modes == {epoch: {(False, True, True)} for epoch in (0, 1)}
    (optimizer,) = trainer.optimizers
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in module.net.head.parameters()}


def test_everything_trains_from_the_epoch_of_thawing(tmp_path: Path) -> None:
    module, watch = make_module(), Watch()
    before = {k: v.clone() for k, v in module.net.state_dict().items()}
    trainer = fit(tmp_path, module, Freeze(unfreeze_epoch=2), watch, epochs=3)
    assert moved(before, watch.epochs[0]) == HEAD
    assert moved(watch.epochs[0], watch.epochs[1]) == HEAD
    assert moved(watch.epochs[1], watch.epochs[2]) == set(before)
    assert watch.modes == {
        0: {(False, True, True)},
        1: {(False, True, True)},
        2: {(True, True, True)},
    }
    (optimizer,) = trainer.optimizers
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len([*module.net.parameters()])


@pytest.mark.parametrize("unfreeze_epoch", [None, 1, 2])
@pytest.mark.parametrize("place", [(0, 1), (0, 2), (1, 0), (1, 2), (2, 1)])
def test_a_resumed_run_ends_where_an_uninterrupted_one_ends(
    tmp_path: Path, unfreeze_epoch: int | None, place: tuple[int, int]
) -> None:
    def without_dropout() -> ClassifierModule:
        module = make_module()
        for layer in module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        return module

    whole, watch = without_dropout(), Watch(stop_after=place)
    fit(tmp_path, whole, Freeze(unfreeze_epoch), watch, epochs=3)
    resumed = without_dropout()
    fit(tmp_path, resumed, Freeze(unfreeze_epoch), epochs=3, ckpt=watch.saved)
    if place[1] == 2:  # the end of an epoch: what follows is the same
        assert moved(whole.net.state_dict(), resumed.net.state_dict()) == set()
    else:  # a plain loader starts its epoch again; frozen is frozen all the same
        state = torch.load(watch.saved, weights_only=True)["state_dict"]
        saved = {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")}
        thawed = unfreeze_epoch is not None
        assert moved(saved, resumed.net.state_dict()) == (set(saved) if thawed else HEAD)


def test_a_run_resumed_inside_a_frozen_epoch_is_frozen_at_once(tmp_path: Path) -> None:
    first = Watch(stop_after=(0, 0))
    fit(tmp_path, make_module(), Freeze(unfreeze_epoch=2), first, epochs=1)
    state = torch.load(first.saved, weights_only=True)["state_dict"]
    again = Watch()
    fit(tmp_path, make_module(), Freeze(unfreeze_epoch=2), again, epochs=1, ckpt=first.saved)
    saved = {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")}
    assert again.modes == {0: {(False, True, True)}}
    assert moved(saved, again.epochs[0]) == HEAD


def test_a_net_without_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^freeze: .* Headless has none"):
        fit(tmp_path, make_module(Headless()), Freeze())


@pytest.mark.parametrize("epoch", [0, -1, 1.5, True])
def test_an_epoch_that_freezes_nothing_is_refused(epoch: Any) -> None:
    with pytest.raises(ConfigError, match=r"^unfreeze_epoch: must be a whole number of at least 1"):
        Freeze(epoch)


@pytest.fixture
def no_process_group() -> Iterator[None]:
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("no_process_group")
def test_ddp_that_would_wait_for_gradients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.strategy=ddp_find_unused_parameters_true"):
        fit(tmp_path, make_module(), Freeze(unfreeze_epoch=1), strategy="ddp")


@pytest.mark.usefixtures("no_process_group")
@pytest.mark.parametrize(
    ("strategy", "unfreeze_epoch"), [("ddp", None), ("ddp_find_unused_parameters_true", 1)]
)
def test_ddp_trains_what_is_to_be_trained(
    tmp_path: Path, strategy: str, unfreeze_epoch: int | None
) -> None:
    module, watch = make_module(), Watch()
    before = {k: v.clone() for k, v in module.net.state_dict().items()}
    fit(tmp_path, module, Freeze(unfreeze_epoch), watch, strategy=strategy)
    assert moved(before, watch.epochs[0]) == HEAD
    second = moved(watch.epochs[0], watch.epochs[1])
    assert second == (HEAD if unfreeze_epoch is None else set(before))
