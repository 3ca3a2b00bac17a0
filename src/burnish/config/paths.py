"""Where the configuration files lie."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """The checkout's ``conf`` if this code runs from a checkout, else the one in the package.

    An editable install must not read the copy of ``conf`` that a wheel left behind.
    """
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "train.yaml").is_file():
        return checkout / "conf"
    return package / "conf"
