"""A run's data and net as its checkpoint left them, for the verbs that take a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from burnish.build import build_data, build_module
from burnish.commands.opening import counts_of
from burnish.data.base import DataModule
from burnish.errors import ModelError
from burnish.learner.module import ClassifierModule, load_weights, net_weights
from burnish.runs.weights import read_checkpoint, spec_of


@dataclass(frozen=True)
class Restored:
    """A run brought back.

    Args:
        data: set up, described by the spec of the checkpoint.
        module: with the checkpoint's weights, without an optimizer.
    """

    data: DataModule
    module: ClassifierModule


def restore(config: Mapping[str, Any], checkpoint: Path, trusted: Sequence[str] = ()) -> Restored:
    """Rebuild data and net; nothing that the checkpoint holds is executed.

    Args:
        config: the run's configuration, checked.
        checkpoint: the weights.
        trusted: packages that the configuration may name classes of.

    Raises:
        DataError: if the data is missing or does not fit the checkpoint.
        ModelError: if the weights do not fit the net.
        RunError: if the checkpoint cannot be read.
    """
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    saved = read_checkpoint(checkpoint)
    data = build_data(config, trusted, spec=spec_of(saved, checkpoint))
    module = build_module(
        config, data, trusted, for_training=False, pretrained=False, counts=counts_of(saved, data)
    )
    try:
        load_weights(module.net, net_weights(saved))
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from error
    return Restored(data, module)
