"""A run that a verb was given, its configuration checked; nothing heavy is imported for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.config.check import check_targets
from burnish.errors import ConfigError
from burnish.runs.folder import RunFolder, find_run

if TYPE_CHECKING:
    from torch import nn

    from burnish.spec import Spec


@dataclass(frozen=True)
class Opened:
    """A run's folder, looked into.

    Args:
        run: the folder.
        checkpoint: the weights.
        config: as the run was trained with, every target in it admitted.
        trusted: packages that it may name classes of.
    """

    run: RunFolder
    checkpoint: Path
    config: dict[str, Any]
    trusted: tuple[str, ...]

    def net(self) -> tuple[nn.Module, Spec]:
        """The net with the checkpoint's weights, on the CPU, in evaluation mode; its data's spec.

        Nothing that the checkpoint holds is executed, and no data is read.

        Raises:
            ModelError: if the weights do not fit the net.
            RunError: if the checkpoint cannot be read.
        """
        from burnish.build import build_net
        from burnish.learner.module import load_weights, net_weights
        from burnish.runs.weights import read_checkpoint, spec_of

        saved = read_checkpoint(self.checkpoint)
        spec = spec_of(saved, self.checkpoint)
        net = build_net(self.config, spec, self.trusted, pretrained=False)
        load_weights(net, net_weights(saved))
        return net.eval(), spec


def open_run(location: str, which: Any = "best", trusted: Sequence[str] = ()) -> Opened:
    """Find what a user typed and check everything in its configuration.

    Args:
        location: a run folder, or a checkpoint in one.
        which: ``best`` or ``last``, if it is a folder.
        trusted: packages that the configuration may name classes of.

    Raises:
        ConfigError: if it names what it may not, or ``which`` is neither.
        RunError: if there is no such run or checkpoint.
    """
    run, named = find_run(location)
    if which not in ("best", "last"):
        raise ConfigError(f"checkpoint: must be best or last, found {which!r}")
    checkpoint = named or run.checkpoint(which)
    config = run.read_config()
    # All of it: what a verb leaves out is no reason to trust the folder.
    if problems := check_targets(config, trusted):
        raise ConfigError([f"{run.path / 'config.yaml'}: {line}" for line in problems])
    return Opened(run, checkpoint, config, tuple(trusted))
