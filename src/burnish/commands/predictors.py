"""From a bundle, a run or a checkpoint to its predictor, for the verbs that predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from burnish.data.cores import cores
from burnish.deploy.bundle import is_bundle
from burnish.deploy.predictor import Predictor, load_bundle
from burnish.errors import ConfigError

A_CORE = 4  # threads: more only wait for each other, and starting thousands takes minutes


def load_predictor(
    path: str | Path,
    checkpoint: str = "best",
    trust: Sequence[str] = (),
    threads: int | None = None,
) -> Predictor:
    """Whatever predicts: an exported bundle, a run folder or a checkpoint in one.

    Args:
        path: the bundle, which needs neither torch nor the run; the folder or the checkpoint.
        checkpoint: ``best`` or ``last`` of a run folder.
        trust: packages that a run's configuration may name classes of; ``torchscript`` or
            ``torch_export``, whose files may run code, of a bundle.
        threads: that compute one batch, at most four a core; None: one a core.

    Raises:
        BurnishError: if it is none of them, is damaged, lacks an extra, or names what it may not.
    """
    if threads is not None and (fault := threads_fault(threads)):
        raise ConfigError(fault)
    found = Path(path).expanduser()
    if is_bundle(found):
        return load_bundle(found, threads, trust)
    from burnish.commands.opened import open_run
    from burnish.config.plain import admitted

    opened = open_run(str(path), checkpoint, admitted(trust))
    from burnish.commands.quiet import quiet

    quiet()
    import torch

    from burnish.deploy.runtime import torch_runtime

    if threads is not None:
        torch.set_num_threads(threads)
    net, spec = opened.net()
    return Predictor(spec, torch_runtime(net), opened.run.path.name)


def threads_fault(threads: int, least: int = 1) -> str | None:
    """What is wrong with a number of threads.

    Args:
        threads: as it was asked for.
        least: that is of use.
    """
    most = A_CORE * cores()
    if least <= threads <= most:
        return None
    return f"threads: must be {least} to {most}, {A_CORE} a core, found {threads}"
