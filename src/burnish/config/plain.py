"""A composed configuration as plain containers, and what the command line trusts in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from burnish.config.targets import whitelist
from burnish.errors import ConfigError


def resolved(cfg: Any) -> dict[str, Any]:
    """Plain containers, every interpolation replaced.

    Raises:
        ConfigError: for a value that is missing (``???``) or an interpolation that leads nowhere.
    """
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        missing = sorted(OmegaConf.missing_keys(cfg)) or [str(error.full_key)]
        raise ConfigError([f"{key}: a value is required: {key}=..." for key in missing]) from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error


def trusted(cfg: Any, overrides: Sequence[str]) -> list[str]:
    """The packages after ``trust=``, on the command line and nowhere else.

    A configuration file, a run folder's least of all, cannot widen what may be executed.
    """
    named = [o for o in overrides if o.partition("=")[0] == "trust"]
    if not named:
        if cfg.trust:
            raise ConfigError("trust: is accepted on the command line only: trust=[mypackage]")
        return []
    value: Any = OverridesParser.create().parse_override(named[-1]).value()
    return admitted([value] if isinstance(value, str) else [str(v) for v in value or []])


def admitted(packages: Sequence[str]) -> list[str]:
    """The packages that the command line trusts, found beside the working folder's files too.

    Raises:
        ConfigError: for what is no package's name.
    """
    whitelist("", packages)  # refuses what is no package name
    # As python -m does; at the end, so that nothing there can pass for an installed package.
    if packages and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return [*packages]
