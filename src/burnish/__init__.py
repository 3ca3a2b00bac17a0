"""burnish: from a composed configuration to a trained and understood PyTorch model.

Everything is imported when it is asked for: the command line must not pay for it, and
``load_predictor`` of a bundle needs neither torch nor Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from burnish.version import __version__

if TYPE_CHECKING:
    from burnish.api import Experiment, Run, compose, fit, load_run
    from burnish.commands.predictors import load_predictor
    from burnish.deploy.predictor import Predicted, Predictor

# The rest lives in burnish.api, which imports Hydra.
_HOMES = {
    "Predicted": "burnish.deploy.predictor",
    "Predictor": "burnish.deploy.predictor",
    "load_predictor": "burnish.commands.predictors",
}
__all__ = [
    "Experiment", "Predicted", "Predictor", "Run", "__version__", "compose", "fit",
    "load_predictor", "load_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "burnish.api")), name)
    raise AttributeError(f"module 'burnish' has no attribute {name!r}")
