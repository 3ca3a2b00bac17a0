"""What a single value must be, by its key: ranges and choices that no signature says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

# Says what a value must be, or None if it is that.
Rule = Callable[[Any], str | None]


def _whole(minimum: int, maximum: float = math.inf) -> Rule:
    def rule(value: Any) -> str | None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and minimum <= value <= maximum:
            return None
        upper = "" if math.isinf(maximum) else f" and at most {maximum}"
        return f"must be a whole number of at least {minimum}{upper}"

    return rule


def _number(
    low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False
) -> Rule:
    def rule(value: Any) -> str | None:
        good = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (value > low if open_low else value >= low)
            and (value < high if open_high else value <= high)
        )
        if good:
            return None
        above = f"above {low:g}" if open_low else f"at least {low:g}"
        below = "" if math.isinf(high) else f" and {'below' if open_high else 'at most'} {high:g}"
        return f"must be a number {above}{below}"

    return rule


def _one_of(*choices: str) -> Rule:
    def rule(value: Any) -> str | None:
        if value in choices:
            return None
        near = get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"must be one of {', '.join(choices)}{hint}"

    return rule


def _switch(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _layer(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be the dotted name of a layer of the net"


def _steps(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and (value == -1 or value > 0)
    return None if good else "must be a whole number of at least 1, or -1 for no limit"


def _duration(value: Any) -> str | None:
    good = isinstance(value, str) and re.fullmatch(r"\d+:\d+:\d+:\d+", value)
    return None if good else "must be DD:HH:MM:SS, as in 00:12:00:00 for twelve hours"


# Key pattern -> rule; a key that is absent or null is not checked here.
RULES: tuple[tuple[str, Rule], ...] = (
    (r"data\.(eval_)?batch_size", _whole(1)),
    (r"data\.(image_size|limit)", _whole(1)),
    (r"data\.num_workers", _whole(0)),
    (r"data\.val_fraction", _number(0, 1, open_low=True, open_high=True)),
    (r"(seed|data\.split_seed)", _whole(0, 2**32 - 1)),
    (r"model\.(.*\.)?dropout", _number(0, 1, open_high=True)),
    (r"model\.(sizes|channels)\[\d+\]", _whole(1)),
    (r"model\.(hidden|width|depth)", _whole(1)),
    (r"loss\.label_smoothing", _number(0, 1, open_high=True)),
    (r"loss\.reduction", _one_of("mean", "sum")),
    (r"loss\.class_weights", _one_of("none", "balanced")),
    (r"loss\.class_weights\[\d+\]", _number(0)),
    (r"data\.num_folds", _whole(2)),
    (r"data\.fold", _whole(0)),
    (r"data\.(max_length|min_frequency|vocabulary_size)", _whole(1)),
    (r"data\.test_fraction", _number(0, 1, open_low=True, open_high=True)),
    (r"freeze", _one_of("none", "backbone")),
    (r"unfreeze_epoch", _whole(1)),
    (r"optimizer\.backbone_lr_scale", _number(0, 1)),
    (r"optimizer\.(lr|adamw_lr)", _number(0, open_low=True)),
    (r"optimizer\.weight_decay", _number(0)),
    (r"optimizer\.momentum", _number(0, 1, open_high=True)),
    (r"optimizer\.decay_norms_and_biases", _switch),
    (r"scheduler\.interval", _one_of("step", "epoch")),
    (r"scheduler\.schedule\.step_size", _whole(1)),
    (r"scheduler\.schedule\.warmup_epochs", _number(0)),
    (r"callbacks\.\w+\.enabled", _switch),
    (r"callbacks\.early_stopping\.patience", _whole(0)),
    (r"(test|report|compile|traceback)", _switch),
    (r"layer", _layer),
    (r"mode", _one_of("max", "min")),
    (r"trainer\.max_epochs", _whole(-1)),
    (r"trainer\.(min_epochs|min_steps)", _whole(0)),
    (r"trainer\.max_steps", _steps),
    (r"trainer\.max_time", _duration),
    (r"trainer\.limit_train_batches", _number(0, open_low=True)),
    (r"trainer\.(accumulate_grad_batches|log_every_n_steps|num_nodes)", _whole(1)),
    (r"trainer\.gradient_clip_val", _number(0)),
    (r"trainer\.limit_(val|test)_batches", _number(0)),
    (r"trainer\.overfit_batches", _number(0)),
)
_RULES = tuple((re.compile(pattern), rule) for pattern, rule in RULES)


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its dotted key."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, f"{key}[{index}]")
    else:
        yield key, node


def check_values(config: Mapping[str, Any]) -> list[str]:
    """One line for each value that breaks its rule."""
    problems = []
    for key, value in leaves(config):
        if value is None:
            continue
        for pattern, rule in _RULES:
            if pattern.fullmatch(key) and (text := rule(value)):
                what, _, hint = text.partition("; ")
                problems.append(f"{key}: {what}, found {value!r}" + (f"; {hint}" if hint else ""))
    return problems
