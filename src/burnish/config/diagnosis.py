"""Which checks ``diagnose`` makes, by the names of the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from burnish.errors import ConfigError

# In the order in which they are made: what is wrong in an early one often shows in later ones too.
CHECKS = (
    "inputs", "labels", "signal", "shapes", "initial_loss", "outputs", "gradients", "dead_units",
    "one_batch", "learning_rate", "batch_size", "loading", "memory",
)  # fmt: skip

# Keys of conf/diagnose.yaml that are not the run's.
OF_DIAGNOSIS = ("run", "checks", "skip")


def only_run(overrides: Sequence[str]) -> None:
    """Refuse other settings beside ``run=``: a run that has begun has its own.

    Args:
        overrides: as typed.

    Raises:
        ConfigError: naming them.
    """
    keys = [text.lstrip("+~").partition("=")[0] for text in overrides]
    others = [key for key in keys if key not in ("run", "trust", "traceback", "debug")]
    if others:
        raise ConfigError(f"{', '.join(others)}: run= looks at a run as it is: leave the rest out")


def chosen(config: Mapping[str, Any]) -> list[str]:
    """The checks to make: those of ``checks``, or all, without those of ``skip``.

    Args:
        config: with the keys ``checks`` and ``skip``: a name, a list of names or null.

    Raises:
        ConfigError: for a name that no check has, and if nothing is left.
    """
    if problems := [line for key in ("checks", "skip") for line in _problems(config[key], key)]:
        raise ConfigError(problems)
    asked = CHECKS if config["checks"] is None else _names(config["checks"])
    left = [name for name in CHECKS if name in asked and name not in _names(config["skip"])]
    if not left:
        raise ConfigError("checks: with skip, they leave no check to make")
    return left


def _names(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value or ())


def _problems(value: Any, key: str) -> Iterator[str]:
    if not isinstance(value, str | Sequence | None):
        yield f"{key}: must be the name of a check or a list of names, found {value!r}"
        return
    for name in _names(value):
        if name not in CHECKS:
            near = get_close_matches(str(name), CHECKS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            yield f"{key}: no check is named {name!r}; {hint}choices: {', '.join(CHECKS)}"
