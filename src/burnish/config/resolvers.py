"""Functions that the configuration files may call: ``${short_id:}`` and the like."""

from __future__ import annotations

import secrets
from pathlib import Path

from omegaconf import OmegaConf


def _short_id() -> str:
    """Six random hexadecimal digits: two runs that start in the same second differ."""
    return secrets.token_hex(3)


def _run_folder(resume: str | None, fresh: str) -> str:
    """The folder of the run to go on with, or a fresh one."""
    if not resume:
        return fresh
    path = Path(resume).expanduser()
    if path.suffix == ".ckpt":
        path = path.parent
    folder = path.parent if path.name == "checkpoints" else path
    # A wrong path is reported by the checks; Hydra must not create it.
    return str(folder) if (folder / "config.yaml").is_file() else fresh


def _max_or_min(mode: str) -> str:
    """Optuna's word for ``mode``."""
    return {"max": "maximize", "min": "minimize"}.get(mode, mode)


def register() -> None:
    """Make the resolvers known to OmegaConf; calling it again changes nothing."""
    # Cached, so that a job's folder keeps its name however often it is asked for.
    OmegaConf.register_resolver("short_id", _short_id, use_cache=True, replace=True)
    OmegaConf.register_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_resolver("max_or_min", _max_or_min, replace=True)
