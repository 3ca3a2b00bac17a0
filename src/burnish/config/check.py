"""All that can be said of a configuration before anything heavy is imported or any data is read.

Each check returns lines that begin with the key; the caller reports them all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from burnish.config.arguments import check_arguments
from burnish.config.rules import check_values
from burnish.config.signatures import TargetNotFound, find_signature
from burnish.config.targets import admitted_as_text, is_admitted, may_be_yours

Config = Mapping[str, Any]

# What SplitMetrics logs; a test compares the two.
MONITORS = tuple(
    f"{split}/{name}"
    for split, names in {
        "train": ("loss", "accuracy"),
        "val": ("loss", "accuracy", "precision", "recall", "f1", "top5_accuracy"),
    }.items()
    for name in names
)

# Arguments that burnish itself hands to a target, by the key of its node.
SUPPLIED: dict[str, tuple[str, ...]] = {
    "data": ("augment",),
    "trainer": ("callbacks", "logger", "default_root_dir"),
    "scheduler.schedule": ("total_steps", "steps_per_epoch"),
    "logger.tensorboard": ("save_dir", "purge_step"),
    "logger.csv": ("folder", "resume_step"),
}
# Keys beside a target's arguments that burnish reads itself.
IGNORED: dict[str, tuple[str, ...]] = {
    "loss": ("class_weights",),
    "optimizer": ("decay_norms_and_biases", "backbone_lr_scale"),
}


def check(config: Config, trusted: Sequence[str] = ()) -> list[str]:
    """Everything that is wrong with a resolved configuration of a training run.

    Args:
        config: plain containers.
        trusted: packages that the user named on the command line.

    Returns:
        One line a problem, each beginning with its key; empty if there is none.
    """
    problems = check_targets(config, trusted)
    for part in (
        _check_keys,
        check_values,
        _check_monitor,
        _check_schedule,
        _check_trainer,
        _check_top_level,
    ):
        problems += part(config)
    # A value that is wrong for a target is often wrong for a rule too: say it once a key.
    return list({line.partition(":")[0]: line for line in reversed(problems)}.values())[::-1]


def check_parts(config: Config, trusted: Sequence[str] = ()) -> list[str]:
    """Everything that is wrong with a configuration of data alone; see :func:`check`."""
    problems = check_targets(config, trusted) + check_values(config)
    return list({line.partition(":")[0]: line for line in reversed(problems)}.values())[::-1]


# Keys that hold no target; a file of one's own may keep values for interpolation under vars.
KEYS = {
    "": (
        "name", "seed", "deterministic", "monitor", "mode", "test", "report", "layer",
        "compile", "resume", "init_from", "freeze", "unfreeze_epoch", "trust", "traceback",
        "paths", "data", "augment", "model", "loss", "optimizer", "scheduler",
        "trainer", "callbacks", "logger", "vars",
    ),
    "paths": ("data", "outputs"),
    "scheduler": ("interval", "monitor", "schedule"),
}  # fmt: skip
# Groups that map names to targets, and groups that are a target.
OF_NAMED_TARGETS = ("augment", "callbacks", "logger")
TARGETS = ("data", "model", "loss", "optimizer", "trainer")


def _check_keys(config: Config) -> list[str]:
    """A key that nothing reads is a typing error, in a file as on the command line."""
    problems = []
    for key, known in KEYS.items():
        node = config.get(key) if key else config
        for name in node if isinstance(node, Mapping) else ():
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
                full = f"{key}.{name}" if key else str(name)
                problems.append(f"{full}: nothing reads this key; {hint}")
    for group in OF_NAMED_TARGETS:
        for name, node in (config.get(group) or {}).items():
            if node is not None and not (isinstance(node, Mapping) and "_target_" in node):
                names = ", ".join(n for n, v in config[group].items() if "_target_" in (v or ()))
                problems.append(f"{group}.{name}: has no _target_; there are {names}")
    for group in TARGETS:
        node = config.get(group)
        if not isinstance(node, Mapping) or "_target_" not in node:
            problems.append(f"{group}: has no _target_; choose {group}=...")
    return problems


def targets(node: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node with a ``_target_`` that is not switched off, with its dotted key."""
    if isinstance(node, Mapping):
        if node.get("enabled") is False:
            return
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from targets(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from targets(value, f"{key}[{index}]")


def check_targets(config: Config, trusted: Sequence[str] = ()) -> list[str]:
    """Every ``_target_`` is admitted, exists, and takes the arguments it is given."""
    return [line for key, node in targets(config) for line in _check_target(key, node, trusted)]


def _check_target(key: str, node: Mapping[str, Any], trusted: Sequence[str]) -> list[str]:
    target = node["_target_"]
    if not isinstance(target, str):
        return [f"{key}._target_: {target!r} is not the dotted name of a class or function"]
    slot = key.partition(".")[0]
    if not is_admitted(target, slot, trusted):
        package = target.partition(".")[0]
        yours = f"; if it is yours, add trust=[{package}] to the command line"
        return [
            f"{key}._target_: {target!r} is not admitted: {slot} may name "
            f"{admitted_as_text(slot)}{yours if may_be_yours(package) else ''}"
        ]
    try:
        signature = find_signature(target)
    except TargetNotFound as error:
        return [f"{key}._target_: {error}"]
    if signature is None:
        return []
    ignored = IGNORED.get(key, ()) + (("enabled",) if slot == "callbacks" else ())
    return check_arguments(key, node, signature, supplied=SUPPLIED.get(key, ()), ignored=ignored)


# --- combinations -----------------------------------------------------------------------------


def _check_monitor(config: Config) -> list[str]:
    problems = []
    trainer = config.get("trainer") or {}
    without_validation = trainer.get("limit_val_batches") == 0
    for key, monitor, mode in _monitors(config):
        if monitor not in MONITORS:
            near = get_close_matches(str(monitor), MONITORS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(
                f"{key}: no metric is named {monitor!r}{hint} There are {', '.join(MONITORS)}"
            )
        elif without_validation and monitor.startswith("val/"):
            problems.append(
                f"{key}: {monitor} is never measured with trainer.limit_val_batches=0; "
                "set monitor=train/loss mode=min"
            )
        elif mode and (mode == "min") != monitor.endswith("/loss"):
            right = "min" if monitor.endswith("/loss") else "max"
            problems.append(
                f"{_mode_key(key)}: {monitor} is better when it is {right}imal; "
                f"set {_mode_key(key)}={right}"
            )
    return problems


def _mode_key(key: str) -> str:
    return key.removesuffix("monitor") + "mode"


def _monitors(config: Config) -> Iterator[tuple[str, Any, str | None]]:
    yield "monitor", config.get("monitor"), config.get("mode")
    for name, node in (config.get("callbacks") or {}).items():
        if not isinstance(node, Mapping) or not node.get("enabled", True):
            continue
        # The same value as the top level's is reported there.
        if node.get("monitor") not in (None, config.get("monitor")):
            yield f"callbacks.{name}.monitor", node["monitor"], node.get("mode")
    scheduler = config.get("scheduler") or {}
    if scheduler.get("monitor") not in (None, config.get("monitor")):
        yield "scheduler.monitor", scheduler["monitor"], None


def _check_schedule(config: Config) -> list[str]:
    schedule = (config.get("scheduler") or {}).get("schedule") or {}
    epochs = (config.get("trainer") or {}).get("max_epochs")
    if not isinstance(epochs, int) or epochs < 1 or not isinstance(schedule, Mapping):
        return []
    problems = []
    warmup = schedule.get("warmup_epochs")
    if isinstance(warmup, int | float) and warmup >= epochs:
        problems.append(
            f"scheduler.schedule.warmup_epochs: {warmup} epochs of warm-up leave nothing of "
            f"trainer.max_epochs={epochs}; choose fewer"
        )
    milestones = schedule.get("milestones")
    if isinstance(milestones, list) and all(isinstance(m, int) for m in milestones):
        if milestones != sorted(set(milestones)) or (milestones and milestones[0] < 1):
            problems.append(
                f"scheduler.schedule.milestones: {milestones} must rise, beginning at 1 or later"
            )
        elif milestones and milestones[0] >= epochs:
            problems.append(
                f"scheduler.schedule.milestones: {milestones} all lie at or behind "
                f"trainer.max_epochs={epochs}: the rate would never change"
            )
    return problems


PRECISIONS = (
    "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true",
    "transformer-engine", "transformer-engine-float16", "16", "32", "64", "bf16",
)  # fmt: skip


def _check_trainer(config: Config) -> list[str]:
    trainer = config.get("trainer") or {}
    problems = []
    if (low := trainer.get("min_epochs")) is not None:
        high = trainer.get("max_epochs")
        if isinstance(low, int) and isinstance(high, int) and 0 <= high < low:
            problems.append(f"trainer.min_epochs: {low} is more than trainer.max_epochs={high}")
    every, epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")
    if isinstance(every, int) and isinstance(epochs, int) and 0 < epochs < every:
        problems.append(
            f"trainer.check_val_every_n_epoch: {every} is more than trainer.max_epochs={epochs}: "
            "nothing would ever be validated"
        )
    if trainer.get("max_epochs") == 0:
        problems.append("trainer.max_epochs: 0 trains nothing; use src/eval.py to score a run")
    precision = trainer.get("precision")
    if precision is not None and str(precision) not in PRECISIONS:
        near = get_close_matches(str(precision), PRECISIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(
            f"trainer.precision: {precision!r} is none of {', '.join(PRECISIONS[:6])}{hint}"
        )
    return problems


def _check_top_level(config: Config) -> list[str]:
    problems = []
    name = config.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+=-]{1,100}", name):
        problems.append(
            f"name: {name!r} names a folder: letters, digits and . _ - + = only, at most 100"
        )
    if config.get("resume") and config.get("init_from"):
        problems.append("init_from: a resumed run has its weights already; leave one of the two")
    if config.get("unfreeze_epoch") is not None and config.get("freeze") != "backbone":
        problems.append("unfreeze_epoch: nothing is frozen; add freeze=backbone")
    trainer = config.get("trainer") or {}
    if config.get("report") and trainer.get("fast_dev_run"):
        problems.append("report: is about a checkpoint, and trainer.fast_dev_run keeps none")
    elif config.get("report") and trainer.get("enable_checkpointing") is False:
        problems.append("report: is about a checkpoint; set trainer.enable_checkpointing=true")
    if config.get("deterministic") not in (True, False, "warn"):
        problems.append(
            f"deterministic: must be true, false or warn, found {config.get('deterministic')!r}"
        )
    return problems
