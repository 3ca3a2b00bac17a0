"""An exported net where a run's would stand, for the verb that scores either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.commands.opened import Opened, open_run
from burnish.config.check import check_targets
from burnish.deploy.bundle import Bundle, is_bundle, read_bundle
from burnish.errors import BundleError, ConfigError
from burnish.runs.folder import RunFolder, refuse_links

if TYPE_CHECKING:
    from burnish.commands.restoring import Restored


def open_run_or_bundle(location: str, which: Any, trusted: Sequence[str] = ()) -> Opened:
    """Find what a user typed and check everything in its configuration; nothing heavy is imported.

    Args:
        location: a bundle, a run folder, or a checkpoint in one.
        which: ``best`` or ``last`` of a run folder.
        trusted: packages that the configuration may name classes of.

    Returns:
        Of a bundle its folder, and its net for the checkpoint.

    Raises:
        BundleError: if the bundle is damaged or holds no configuration.
        ConfigError: if that names what it may not, or ``which`` is neither.
        RunError: if nothing is there, or a bundle holds links.
    """
    path = Path(location).expanduser()
    if not is_bundle(path):
        return open_run(location, which, trusted)
    bundle = read_bundle(path)
    refuse_links(path)
    if not (path / "config.yaml").is_file():
        raise BundleError(
            f"{path / 'config.yaml'}: is missing, so nobody knows what data to score the net on; "
            "export again, or give the run that the bundle was made from"
        )
    run = RunFolder(path)
    config = run.read_config()
    if problems := check_targets(config, trusted):
        raise ConfigError([f"{path / 'config.yaml'}: {line}" for line in problems])
    return Opened(run, bundle.file, config, tuple(trusted))


def is_exported(checkpoint: Path) -> bool:
    """Whether it is a bundle's net."""
    return checkpoint.suffix != ".ckpt"


def on_cpu(config: Mapping[str, Any], accelerator: str | None) -> dict[str, Any]:
    """The configuration of a bundle with what an exported net leaves no choice of.

    Args:
        config: with the command's changes.
        accelerator: as typed.

    Raises:
        ConfigError: if another device was asked for.
    """
    if accelerator not in (None, "auto", "cpu"):
        raise ConfigError(
            f"trainer.accelerator: an exported net runs on the CPU, found {accelerator}"
        )
    trainer = {**config["trainer"], "accelerator": "cpu", "devices": 1, "precision": "32-true"}
    return {**config, "trainer": trainer, "compile": False}


def restore_bundle(
    config: Mapping[str, Any], bundle: Bundle, trusted: Sequence[str] = ()
) -> Restored:
    """A bundle's net with the data of its run; see :func:`burnish.commands.restoring.restore`.

    Args:
        config: the bundle's, checked.
        bundle: whose net is loaded.
        trusted: packages that the configuration may name classes of.

    Raises:
        BundleError: if the net is damaged, or cannot be run here.
        DataError: if the data is missing or does not fit the bundle.
    """
    import lightning.pytorch as pl

    from burnish.build import build_data, build_loss
    from burnish.commands.restoring import Restored
    from burnish.deploy.exported_net import ExportedNet
    from burnish.deploy.loading import runtime
    from burnish.learner.module import ClassifierModule

    pl.seed_everything(config["seed"], workers=True, verbose=False)
    net = ExportedNet(runtime(bundle, trusted=trusted))
    data = build_data(config, trusted, spec=bundle.spec)
    loss = build_loss(config["loss"], data.class_counts["train"], trusted)
    return Restored(data, ClassifierModule(net, loss, bundle.spec.num_classes))
