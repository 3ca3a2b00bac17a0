"""Packages that only some commands need, and what to type if one is missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from burnish.errors import BundleError


def needed(module: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Args:
        module: its name in Python.
        extra: of ``pyproject.toml``.

    Raises:
        BundleError: with the line that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise BundleError(
            f"{error.name} is not installed: pip install 'burnish[{extra}]' "
            f"(in a checkout: pip install -e '.[{extra}]')"
        ) from error
