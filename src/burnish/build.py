"""From a checked configuration to objects: the only caller of ``hydra.utils.instantiate``.

The configuration arrives as plain containers. What it may name is settled by the whitelist of
:mod:`burnish.config.targets`, which Hydra enforces again here on the objects that names resolve to.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import execution_whitelist, instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar
from torch import nn
from torch.optim import Optimizer

from burnish.config.targets import whitelist
from burnish.data.base import DataModule
from burnish.data.images import ImageDataModule
from burnish.data.text import TextDataModule
from burnish.errors import BurnishError, ConfigError
from burnish.learner.checkpoint import BestAndLast
from burnish.learner.freeze import Freeze
from burnish.learner.module import ClassifierModule, Schedule
from burnish.learner.reproducible import Reproducible
from burnish.nn.losses import MeanOverSamples, class_weights
from burnish.nn.optim import fused_by_default, parameter_groups
from burnish.spec import Spec, TextSpec

Config = Mapping[str, Any]

# What a constructor raises when a value is wrong; anything else is a bug and keeps its traceback.
VALUE_ERRORS = (TypeError, ValueError, MisconfigurationException, ModuleNotFoundError)


def make(node: Config, key: str, trusted: Sequence[str] = (), **extra: Any) -> Any:
    """Call a node's ``_target_`` with its arguments, and ``extra`` ones that a config cannot hold.

    Args:
        node: a mapping with ``_target_``.
        key: where the node stands, named in errors.
        trusted: packages that the user named on the command line.
        **extra: arguments from code.

    Returns:
        What the target returns, or the partial function if the node says ``_partial_``.

    Raises:
        ConfigError: if the target refuses a value.
    """
    partial = bool(node.get("_partial_"))
    try:
        # Made as a partial and called here, so that objects in ``extra`` are passed as they are.
        function = instantiate(
            {**node, "_partial_": True},
            # reset: what @hydra.main admits for Hydra's own plugins is not for configurations.
            _execution_whitelist_=execution_whitelist(
                whitelist(key.partition(".")[0], trusted), reset=True
            ),
            _convert_="all",
        )
    except InstantiationException as error:
        raise _user_error(error, key) or error from error
    return function if partial else call(function, key, **extra)


def call(function: Callable[..., Any], key: str, *args: Any, **kwargs: Any) -> Any:
    """Call a factory made from ``key``; a refused value becomes the user's error.

    Raises:
        ConfigError: if the factory refuses a value.
    """
    try:
        return function(*args, **kwargs)
    except (InstantiationException, *VALUE_ERRORS) as error:
        raise _user_error(error, key) or error from error


def _user_error(error: Exception, key: str) -> BurnishError | None:
    cause = error.__cause__ if isinstance(error, InstantiationException) else error
    if isinstance(cause, BurnishError):
        return cause
    if isinstance(cause, VALUE_ERRORS):
        return ConfigError(f"{key}: {cause}")
    return ConfigError(f"{key}: {' '.join(str(error).split())}") if cause is None else None


def build_data(
    config: Config,
    trusted: Sequence[str] = (),
    *,
    spec: Spec | None = None,
    vocabulary: TextSpec | None = None,
) -> DataModule:
    """The DataModule with its data at hand, so that its spec is known.

    Args:
        config: the checked configuration.
        trusted: packages that the user named on the command line.
        spec: of the run whose weights will be used: it describes the data, classes included.
        vocabulary: of a run to start from: its ids are kept, the classes are the data's.
    """
    augment = [
        make(node, f"augment.{name}", trusted)
        for name, node in (config.get("augment") or {}).items()
        if node is not None
    ]
    data: DataModule = make(config["data"], "data", trusted, augment=augment)
    if spec is not None:
        data.adopt(spec)
    elif vocabulary is not None and isinstance(data, TextDataModule):
        data.adopt_vocabulary(vocabulary)
    data.prepare_data()
    data.setup("fit")
    return data


def build_net(
    config: Config, spec: Spec, trusted: Sequence[str] = (), *, pretrained: bool = True
) -> nn.Module:
    """The net for data of this spec.

    Args:
        config: the checked configuration.
        spec: of the data.
        trusted: packages that the user named on the command line.
        pretrained: whether weights are fetched or read that the model names; useless for a net
            that gets the weights of a checkpoint.
    """
    node = dict(config["model"])
    if not pretrained:
        node |= dict.fromkeys(node.keys() & {"weights", "weights_file"})
    factory = make({**node, "_partial_": True}, "model", trusted)
    net: nn.Module = call(factory, "model", spec)
    # Convolutions take the layout of their weights; this one is faster on CPUs (a step of
    # simple_cnn 1.3 times, cifar10_net 1.3, resnet18 1.2) and what tensor cores want.
    return net.to(memory_format=torch.channels_last)


def build_module(
    config: Config,
    data: DataModule,
    trusted: Sequence[str] = (),
    *,
    for_training: bool = True,
    pretrained: bool = True,
    counts: Sequence[int] | None = None,
) -> ClassifierModule:
    """Net, loss, optimizer and schedule in their LightningModule.

    Pretrained weights bring their normalisation, which becomes the data's.

    Args:
        config: the checked configuration.
        data: set up.
        trusted: packages that the user named on the command line.
        for_training: whether an optimizer is needed.
        pretrained: see :func:`build_net`.
        counts: training samples of each class by which they are weighted; None: the data's. A
            run that is evaluated or goes on keeps those that it was trained with.
    """
    counts = counts or data.class_counts["train"]
    net = build_net(config, data.spec, trusted, pretrained=pretrained)
    normalisation = getattr(net, "normalisation", None)
    if normalisation is not None and isinstance(data, ImageDataModule):
        data.normalise_by(*normalisation)
    return ClassifierModule(
        net,
        build_loss(config["loss"], counts, trusted),
        data.spec.num_classes,
        optimizer=_optimizer_factory(config["optimizer"], trusted) if for_training else None,
        schedule=_schedule(config["scheduler"], trusted) if for_training else None,
        compile=config["compile"],
        card={"config": dict(config), "spec": data.spec.to_dict(), "class_counts": [*counts]},
    )


def build_loss(node: Config, counts: Sequence[int], trusted: Sequence[str] = ()) -> nn.Module:
    """The loss, with the weights of the classes if ``class_weights`` asks for them.

    Args:
        node: of the loss; ``class_weights`` is ``none``, ``balanced`` or a list.
        counts: training samples of each class, which ``balanced`` weighs inversely: over all
            samples the weights then average to 1.
        trusted: packages that the user named on the command line.

    Raises:
        ConfigError: if the loss takes no weights, or the list has another length.
    """
    arguments = dict(node)
    weights = class_weights(arguments.pop("class_weights", "none"), counts)
    if weights is None:
        loss: nn.Module = make(arguments, "loss", trusted)
        return loss
    factory = make({**arguments, "_partial_": True}, "loss", trusted)
    known = inspect.signature(factory.func).parameters
    name = next((name for name in ("weight", "alpha") if name in known), None)
    if name is None:
        raise ConfigError(
            f"loss.class_weights: {node['_target_']} takes no weights of classes (neither weight "
            "nor alpha is one of its arguments); use class_weights=none"
        )
    if arguments.get(name) is not None:
        raise ConfigError(f"loss.class_weights: loss.{name} is given too; leave one of the two")
    if name == "alpha":
        focal: nn.Module = call(factory, "loss", alpha=weights)
        return focal
    mean = arguments.get("reduction", "mean") == "mean"
    reduction = {"reduction": "none"} if mean else {}
    made: nn.Module = call(factory, "loss", weight=torch.tensor(weights), **reduction)
    return MeanOverSamples(made) if mean else made


def _optimizer_factory(node: Config, trusted: Sequence[str]) -> Callable[[nn.Module], Optimizer]:
    arguments = dict(node)
    decay_all = arguments.pop("decay_norms_and_biases", False)
    scale = arguments.pop("backbone_lr_scale", None)
    factory = make({**arguments, "_partial_": True}, "optimizer", trusted)

    def optimizer(net: nn.Module) -> Optimizer:
        groups = parameter_groups(
            net,
            arguments.get("weight_decay") or 0.0,
            decay_all,
            lr=arguments.get("lr"),
            backbone_lr_scale=scale,
        )
        if scale is not None and "adamw_lr" in arguments:  # Muon has a rate of its own for the rest
            for group in groups:
                if "lr" in group:
                    group["adamw_lr"] = arguments["adamw_lr"] * scale
        fused = {}
        if "fused" in arguments and not arguments.get("foreach"):
            fused["fused"] = fused_by_default(arguments["fused"], net.parameters())
        made: Optimizer = call(factory, "optimizer", groups, **fused)
        return made

    return optimizer


def _schedule(node: Config, trusted: Sequence[str]) -> Schedule | None:
    if not node or not node.get("schedule"):
        return None
    factory = make({**node["schedule"], "_partial_": True}, "scheduler.schedule", trusted)
    return Schedule(factory, node.get("interval") or "epoch", node.get("monitor"))


def build_callbacks(config: Config, trusted: Sequence[str] = ()) -> list[Callback]:
    """The callbacks that are switched on; fast_dev_run keeps nothing, so it checkpoints nothing."""
    trainer = config["trainer"]
    made: list[Callback] = []
    for name, node in (config.get("callbacks") or {}).items():
        if node is None or not node.get("enabled", True):
            continue
        arguments = {key: value for key, value in node.items() if key != "enabled"}
        made.append(make(arguments, f"callbacks.{name}", trusted))
    if trainer.get("enable_checkpointing") is False or trainer.get("fast_dev_run"):
        made = [callback for callback in made if not isinstance(callback, Checkpoint)]
    if trainer.get("enable_progress_bar") is False:
        made = [callback for callback in made if not isinstance(callback, ProgressBar)]
    return made


def build_loggers(
    config: Config, folder: Path, trusted: Sequence[str] = (), resume_step: int | None = None
) -> list[Any]:
    """The loggers, writing into the run folder; a resumed run drops what it will log again."""
    where: dict[str, dict[str, Any]] = {
        "tensorboard": {"save_dir": str(folder), "purge_step": resume_step},
        "csv": {"folder": str(folder), "resume_step": resume_step},
    }
    return [
        make(node, f"logger.{name}", trusted, **where.get(name, {}))
        for name, node in (config.get("logger") or {}).items()
        if node is not None
    ]


def build_trainer(
    config: Config,
    folder: Path,
    trusted: Sequence[str] = (),
    *,
    callbacks: Sequence[Callback] = (),
    resume_step: int | None = None,
) -> pl.Trainer:
    """The Trainer of a training run.

    Args:
        config: the checked configuration.
        folder: the run folder.
        trusted: packages that the user named on the command line.
        callbacks: more callbacks than the configuration's.
        resume_step: the optimizer step that a resumed run begins after.
    """
    own = build_callbacks(config, trusted)
    # fast_dev_run replaces all loggers; made here they would leave files behind.
    loggers = (
        []
        if config["trainer"].get("fast_dev_run")
        else (build_loggers(config, folder, trusted, resume_step))
    )
    # LearningRateMonitor refuses to run without a logger.
    if not loggers:
        own = [c for c in own if not isinstance(c, pl.callbacks.LearningRateMonitor)]
    if config.get("freeze") == "backbone":
        own.append(Freeze(config["unfreeze_epoch"]))
    node = dict(config["trainer"])
    if isinstance(profiler := node.get("profiler"), Mapping) and "dirpath" in profiler:
        node["profiler"] = {**profiler, "dirpath": str(folder / str(profiler["dirpath"]))}
    node["enable_checkpointing"] = any(isinstance(c, Checkpoint) for c in own)
    node["enable_progress_bar"] = any(isinstance(c, ProgressBar) for c in own)
    trainer: pl.Trainer = make(
        node,
        "trainer",
        trusted,
        callbacks=[*own, Reproducible(config["seed"]), *callbacks],
        logger=loggers or False,
        default_root_dir=str(folder),
    )
    return trainer


def best_checkpoint(trainer: pl.Trainer) -> str | None:
    """Path of the best checkpoint of this run, if one was kept."""
    callback = trainer.checkpoint_callback
    path = callback.best_model_path if isinstance(callback, BestAndLast) else None
    return path or getattr(callback, "best_model_path", None) or None
