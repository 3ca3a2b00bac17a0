"""Reading checkpoints: tensors and plain containers only, whoever wrote them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.errors import RunError
from burnish.spec import Spec, spec_from_dict


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint onto the CPU without executing anything that it holds.

    Args:
        path: a ``.ckpt`` file.

    Returns:
        Lightning's checkpoint dictionary.

    Raises:
        RunError: if the file is no checkpoint, or holds anything but tensors and plain containers.
    """
    import torch

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()
        named = next((line for line in reason if "GLOBAL" in line or "Unsupported" in line), "")
        raise RunError(
            f"{path}: refused, it holds more than tensors and plain containers; nothing of it was "
            f"executed ({named.strip() or reason[0]})"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, KeyError) as error:
        what = str(error).partition(".")[0].strip() or type(error).__name__
        raise RunError(f"{path}: is no readable checkpoint ({what})") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise RunError(f"{path}: is no checkpoint of burnish: it holds no state_dict")
    return checkpoint


def spec_of(checkpoint: Mapping[str, Any], path: Path) -> Spec:
    """What the data of a checkpoint's run was.

    Args:
        checkpoint: of :func:`read_checkpoint`.
        path: where it lies, for the error.

    Raises:
        RunError: if the checkpoint does not say.
    """
    card = checkpoint.get("burnish")
    if not isinstance(card, Mapping) or not isinstance(card.get("spec"), Mapping):
        raise RunError(f"{path}: is no checkpoint of burnish: it does not describe its data")
    try:
        return spec_from_dict(card["spec"])
    except RunError as error:
        raise RunError(f"{path}: {error}") from error
