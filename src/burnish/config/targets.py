"""What a configuration may name by ``_target_``: the execution whitelist.

A configuration may come from somebody else, so only what a training needs can be named. A whole
subtree is admitted only where nothing in it loads code or data from a place that an argument names.
Left out for that: ``torchvision.models`` but for its nets (``WeightsEnum.get_state_dict`` unpickles
from any URL that ``Weights`` is given), Lightning's strategies and plugins but for their classes
(launchers start processes), torchmetrics' text, image and audio (they download),
``torch.nn.parallel``, ``torch.hub``, ``torch.load``, ``torch.utils``.

Hydra holds the names of a subtree against the objects they resolve to once more, and so it does
with a result that can be called, such as a net; exact names are taken at their word.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from burnish.config.source import Module, TargetNotFound, locate, names_in, resolve
from burnish.errors import ConfigError


def _under(package: str, names: str) -> tuple[str, ...]:
    return tuple(f"{package}.{name}" for name in names.split())


ADMITTED: tuple[str, ...] = (
    "burnish.data.*",
    "burnish.models.*",
    "burnish.nn.*",
    "burnish.learner.*",
    "torch.nn.modules.*",
    "torch.optim.*",
    "torchvision.models.get_model",
    *_under("torchvision.models", "alexnet.* convnext.* densenet.* efficientnet.* googlenet.*"),
    *_under("torchvision.models", "inception.* maxvit.* mnasnet.* mobilenetv2.* mobilenetv3.*"),
    *_under("torchvision.models", "regnet.* resnet.* shufflenetv2.* squeezenet.* vgg.*"),
    *_under("torchvision.models", "swin_transformer.* vision_transformer.*"),
    "torchvision.ops.*",
    "torchvision.transforms.*",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.callbacks.*",
    *_under("lightning.pytorch.loggers", "CSVLogger TensorBoardLogger WandbLogger MLFlowLogger"),
    *_under("lightning.pytorch.loggers", "CometLogger LitLogger"),
    "lightning.pytorch.profilers.*",
    *_under("lightning.pytorch.strategies", "SingleDeviceStrategy DDPStrategy FSDPStrategy"),
    *_under("lightning.pytorch.strategies", "DeepSpeedStrategy ModelParallelStrategy"),
    "lightning.pytorch.plugins.precision.*",
    *_under("lightning.pytorch.plugins", "MixedPrecision HalfPrecision DoublePrecision"),
    *_under("lightning.pytorch.plugins", "BitsandbytesPrecision TransformerEnginePrecision"),
    *_under("lightning.pytorch.plugins", "FSDPPrecision TorchSyncBatchNorm"),
    "torchmetrics.aggregation.*",
    "torchmetrics.classification.*",
    "torchmetrics.regression.*",
    "torchmetrics.wrappers.*",
    *_under("torchmetrics", "MetricCollection Accuracy AUROC AveragePrecision CalibrationError"),
    *_under("torchmetrics", "CohenKappa ConfusionMatrix F1Score FBetaScore MatthewsCorrCoef"),
    *_under("torchmetrics", "Precision Recall Specificity MeanMetric"),
)


def whitelist(trusted: Sequence[str] = ()) -> tuple[str, ...]:
    """The patterns that ``hydra.utils.instantiate`` takes as ``_execution_whitelist_``.

    Args:
        trusted: packages or modules that the user named on the command line; everything in them
            may be named too.

    Returns:
        Exact names, and subtrees that end with ``.*``.

    Raises:
        ConfigError: if an entry of ``trusted`` is not a dotted name.
    """
    wrong = [
        f"trust: {name!r} is not the name of a package; write for example trust=[mypackage]"
        for name in trusted
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split("."))
    ]
    if wrong:
        raise ConfigError(wrong)
    return (*ADMITTED, *_torch_nn(), *(p for name in trusted for p in (name, f"{name}.*")))


def is_admitted(target: str, trusted: Sequence[str] = ()) -> bool:
    """Whether a configuration may name this target.

    The name must match the whitelist, and so must the place where it is defined, as far as the
    source tells it: ``burnish.data.cifar.os.system`` is ``os.system``. A name that does not exist
    is judged by its text; :func:`burnish.config.signatures.find_signature` reports it.

    Args:
        target: for example ``torch.optim.AdamW``.
        trusted: packages that the user named on the command line.

    Raises:
        ConfigError: if an entry of ``trusted`` is not a dotted name.
    """
    patterns = whitelist(trusted)
    # Nothing that a training needs is named __so__, but function.__globals__ is everything.
    if any(part.startswith("__") for part in target.split(".")) or not _matches(target, patterns):
        return False
    if target in patterns:
        return True
    try:
        found = resolve(target)
    except TargetNotFound:
        return True
    return _matches(found.name, patterns)


def admitted_as_text() -> str:
    """The admitted packages and classes in one line, for messages."""
    nets = "torchvision.models."
    subtrees = [p for p in ADMITTED if p.endswith(".*") and not p.startswith(nets)]
    exact = {name.rpartition(".")[0] for name in ADMITTED if not name.endswith(".*")}
    exact -= {"lightning.pytorch", "torchvision.models", "torchmetrics"}
    classes = [f"the classes of {package}" for package in sorted(exact | {"torch.nn"})]
    return ", ".join(
        [*subtrees, "lightning.pytorch.Trainer", "torchvision.models.get_model", *classes]
    )


def _matches(target: str, patterns: Sequence[str]) -> bool:
    return any(
        target.startswith(pattern[:-1]) if pattern.endswith(".*") else target == pattern
        for pattern in patterns
    )


@cache
def _torch_nn() -> tuple[str, ...]:
    """``torch.nn.Linear`` for each class of ``torch.nn.modules``: the subtree holds more."""
    modules = locate("torch.nn.modules")
    names = names_in(modules) if isinstance(modules, Module) else None
    return tuple(f"torch.nn.{name}" for name in names or () if name[0].isupper())
