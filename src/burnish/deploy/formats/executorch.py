"""ExecuTorch: a file for phones and boards, run by a small interpreter without Python.

Needs its extra, pip install 'burnish[executorch]'.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from burnish.deploy.extras import needed
from burnish.deploy.formats.example import exporting, loading
from burnish.deploy.formats.torch_export import exported
from burnish.deploy.preprocess import Inputs
from burnish.deploy.runtime import Logits, Runtime
from burnish.spec import Spec, TextSpec

EXTRA = "executorch"
# Memory is planned for the largest batch; phones see one picture at a time.
MAX_BATCH = 8


def write_executorch(net: nn.Module, spec: Spec, file: Path) -> None:
    """Lower the net's graph, to XNNPACK what it takes, the rest to portable kernels.

    Args:
        net: in evaluation mode, on the CPU.
        spec: of its data.
        file: to write.

    Raises:
        BundleError: if the net cannot be lowered, or the extra is missing.
    """
    with exporting("executorch"):  # they talk when they are imported
        exir: Any = needed("executorch.exir", EXTRA)
        xnnpack: Any = needed("executorch.backends.xnnpack.partition.xnnpack_partitioner", EXTRA)
    # XNNPACK wants weights in rows; burnish trains convolutions with them in channels_last.
    net = deepcopy(net).to(memory_format=torch.contiguous_format)
    # In a text two sizes are open, and XNNPACK's reshape takes one: portable kernels it is.
    partitioner = [] if isinstance(spec, TextSpec) else [xnnpack.XnnpackPartitioner()]
    with exporting("executorch"):
        program = exir.to_edge_transform_and_lower(
            exported(net, spec, MAX_BATCH), partitioner=partitioner
        ).to_executorch()
        with file.open("wb") as target:
            program.write_to_file(target)


def load_executorch(file: Path) -> Runtime:
    """The net as a function; data for an interpreter, nothing in it is executed as a program.

    Raises:
        BundleError: if it cannot be loaded, or the extra is missing.
    """
    with loading(file):
        runtime: Any = needed("executorch.runtime", EXTRA)
        method = runtime.Runtime.get().load_program(file).load_method("forward")

    def run(inputs: Inputs) -> Logits:
        parts = torch.split(torch.from_numpy(inputs), MAX_BATCH)
        # A copy: the next batch is computed in the same memory.
        return np.concatenate([method.execute([part])[0].numpy().copy() for part in parts])

    return run
