"""A trial's parameters for TensorBoard's HPARAMS tab."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger


def log_parameters(
    loggers: Iterable[Logger], params: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    """Write one row of the tab into the run's own event file.

    Args:
        loggers: of the trainer; others than TensorBoard's are left alone.
        params: that were drawn.
        metrics: the objectives by name; in TensorBoard they begin with ``best/``.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            named = {f"best/{name}": value for name, value in metrics.items()}
            logger.log_hyperparams(dict(params), named)
            logger.experiment.close()  # fit had closed it; this opened it again, with a thread
