"""What a net is shown while it is exported, and which of its sizes stay open.

Shapes: N inputs, C channels, H height, W width, L tokens of the longest text.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.errors import BundleError
from burnish.spec import RESERVED, Spec, TextSpec

# Sizes of 0 and 1 are taken for constants by torch.export; texts are longer than any kernel.
BATCH, LENGTH = 2, 16


def example(spec: Spec) -> Tensor:
    """Two inputs as the net receives them, float32 ``[2, C, H, W]`` or int64 ``[2, L]``."""
    random = torch.Generator().manual_seed(0)
    if not isinstance(spec, TextSpec):
        return torch.randn(BATCH, spec.channels, spec.height, spec.width, generator=random)
    length = min(LENGTH, spec.max_length)
    ids = torch.randint(len(RESERVED) - 1, spec.vocabulary_size, (BATCH, length), generator=random)
    ids[1, length // 2 + 1 :] = 0  # the second text is shorter: padded
    return ids


def dynamic_sizes(spec: Spec, max_batch: int | None = None) -> dict[int, Any]:
    """The dimensions of the input that an exported net takes at any size."""
    sizes: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=max_batch)}
    if isinstance(spec, TextSpec) and spec.max_length > 1:
        sizes[1] = torch.export.Dim("length", min=1, max=spec.max_length)
    return sizes


def exporting(what: str) -> AbstractContextManager[None]:
    """Keep an exporter's own words off the terminal; what it refuses becomes one line.

    Args:
        what: the format, for the error.

    Raises:
        BundleError: if it refuses the net.
    """
    return _quietly(f"format: {what} cannot hold this net")


def loading(file: Path) -> AbstractContextManager[None]:
    """The same for reading a file.

    Raises:
        BundleError: if it cannot be read.
    """
    return _quietly(f"{file}: cannot be read")


@contextmanager
def _quietly(what: str) -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    except (BundleError, OSError):
        raise
    except Exception as error:  # exporters raise whatever their many stages raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BundleError(f"{what} ({reason})") from error
    finally:
        logging.disable(before)
