"""The configuration of a run on disk, with the few changes that a command may make to it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from burnish.config.rules import leaves
from burnish.errors import ConfigError

# What may differ between a run and its continuation without making it another experiment.
CHANGEABLE = (
    "trainer.", "callbacks.", "logger.", "data.root", "data.num_workers", "data.device_resident",
    "data.download", "data.cache_dir", "test", "report", "layer", "compile", "traceback",
)  # fmt: skip
# Runs of earlier versions have no such keys.
LATER = ("report", "layer")
# Read by the command itself, or not about the run at all.
OF_THE_COMMAND = ("resume", "trust", "debug", "hydra.")


def continued(saved: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The saved configuration with the overrides of a ``resume=`` command applied.

    Raises:
        ConfigError: for overrides that would make it another experiment, and for unknown keys.
    """
    config = OmegaConf.create(saved)
    OmegaConf.set_struct(config, True)
    problems = []
    for text in overrides:
        override = OverridesParser.create().parse_override(text)
        key = override.key_or_group
        if key.startswith(OF_THE_COMMAND):
            continue
        if not key.startswith(CHANGEABLE) or override.is_delete():
            problems.append(
                f"{key}: a resumed run keeps it; start another run with init_from= to change it "
                f"(what may change: {', '.join(CHANGEABLE)})"
            )
            continue
        added = override.is_add() or key in LATER
        if OmegaConf.select(config, key, default=...) is ... and not added:
            names = [str(name) for name in OmegaConf.select(config, key.rpartition(".")[0]) or ()]
            near = get_close_matches(key.rpartition(".")[2], names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"{key}: the run has no such key{hint}")
            continue
        OmegaConf.update(config, key, override.value(), force_add=added)
    if problems:
        raise ConfigError(problems)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    typed = {OverridesParser.create().parse_override(text).key_or_group for text in overrides}
    if places := [p for p in _places(plain) if p.partition(": ")[0] not in typed]:
        raise ConfigError(places)
    if isinstance(plain.get("data"), dict):
        plain["data"] = without_effects(plain["data"], typed)
    return plain  # type: ignore[no-any-return]


# Arguments by which callbacks, loggers and profilers are told where to write.
PLACE = re.compile(r".*(dir|path|folder|file|filename|uri|url)", re.IGNORECASE)


def _places(config: dict[str, Any]) -> Iterator[str]:
    """What would let a stranger's run folder write or delete outside itself."""
    for key, value in leaves({k: config.get(k) for k in ("callbacks", "logger", "trainer")}):
        parts = re.split(r"[.\[\]]+", key)
        if "_args_" in parts:
            yield f"{key}: a run folder may not give arguments without their names"
        elif isinstance(value, str) and not key.endswith("._target_"):
            # The one place that burnish itself puts inside the run folder.
            inside = key == "trainer.profiler.dirpath"
            outside = value.startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", value)
            if outside or (not inside and any(map(PLACE.fullmatch, parts))):
                yield (
                    f"{key}: a run folder may not say where to write, found {value!r}; "
                    f"if you mean it, type it again: {key}=..."
                )


def without_effects(data: dict[str, Any], typed: Collection[str] = ()) -> dict[str, Any]:
    """The data of a saved configuration, which fetches nothing and caches in one place only.

    Args:
        data: of the run.
        typed: keys that the user typed, which stay.
    """
    safe: dict[str, Any] = {"download": False}
    if data.get("cache") == "disk":
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        safe["cache_dir"] = str(user / "burnish")
    changed = {k: v for k, v in safe.items() if k in data and f"data.{k}" not in typed}
    return {**data, **changed}
