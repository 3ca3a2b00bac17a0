"""burnish: from a composed configuration to a trained and understood PyTorch model.

``compose``, ``fit`` and ``load_run`` are those of :mod:`burnish.api`, imported when they are asked
for: the command line must not pay for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from burnish.version import __version__

if TYPE_CHECKING:
    from burnish.api import Experiment, Predicted, Run, compose, fit, load_run

__all__ = ["Experiment", "Predicted", "Run", "__version__", "compose", "fit", "load_run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("burnish.api"), name)
    raise AttributeError(f"module 'burnish' has no attribute {name!r}")
