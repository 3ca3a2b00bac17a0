"""The checkpoint that ``resume`` or ``init_from`` names, and what a run takes over from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from burnish.build import build_data
from burnish.data.base import DataModule
from burnish.errors import ModelError, RunError
from burnish.learner.module import load_weights, net_weights
from burnish.runs.folder import find_run
from burnish.runs.weights import read_checkpoint, spec_of
from burnish.spec import Spec, TextSpec

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Start:
    """The checkpoint that a run goes on from, or begins with the weights of.

    Args:
        path: where it lies.
        checkpoint: all of it if the run goes on, else the weights and what describes them.
        resumes: whether the run goes on.
    """

    path: Path
    checkpoint: Mapping[str, Any]
    resumes: bool

    @property
    def spec(self) -> Spec:
        """What its data was."""
        return spec_of(self.checkpoint, self.path)

    def load_into(self, net: nn.Module) -> list[str]:
        """Give a net these weights; the output layer may have another size than theirs.

        Returns:
            The names that were left at their initial values, as of ``load_weights``.

        Raises:
            ModelError: naming the checkpoint, if its weights do not fit.
        """
        try:
            return load_weights(net, net_weights(self.checkpoint))
        except ModelError as error:
            raise ModelError(f"init_from: {self.path}: {error}") from error


def find_start(config: Config) -> Start | None:
    """Read what ``resume`` names, or else ``init_from``; None if neither does.

    Raises:
        RunError: if there is no such checkpoint, or none that a run can go on from.
    """
    key = "resume" if config["resume"] else "init_from"
    if not config[key]:
        return None
    folder, named = find_run(config[key], key)
    path = named or folder.checkpoint("last" if key == "resume" else "best")
    checkpoint = read_checkpoint(path)
    if key == "init_from":  # an optimizer's state is twice the weights: not to be held for nothing
        kept = checkpoint.keys() & {"state_dict", "burnish"}
        return Start(path, {name: checkpoint[name] for name in kept}, resumes=False)
    if not checkpoint.get("optimizer_states"):
        raise RunError(
            f"resume: {path} holds weights only; use init_from={path} to start from them"
        )
    return Start(path, checkpoint, resumes=True)


def data_of(config: Config, trusted: Sequence[str], start: Start | None) -> DataModule:
    """The run's data; if it goes on described as it was, else with the words that are known.

    Args:
        config: checked, plain containers.
        trusted: packages that the configuration may name classes of.
        start: of :func:`find_start`.

    Raises:
        DataError: if the data is missing or does not fit the checkpoint.
        RunError: if the checkpoint does not describe its data.
    """
    if start is None:
        return build_data(config, trusted)
    if start.resumes:
        return build_data(config, trusted, spec=start.spec)
    vocabulary = start.spec if isinstance(start.spec, TextSpec) else None
    return build_data(config, trusted, vocabulary=vocabulary)
