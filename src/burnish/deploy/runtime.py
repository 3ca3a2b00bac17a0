"""What computes logits: onnxruntime for an exported net, torch for one in memory.

Shapes: N inputs, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from burnish.data.cores import cores
from burnish.deploy.bundle import Bundle
from burnish.deploy.extras import needed
from burnish.deploy.preprocess import Inputs
from burnish.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

Logits = NDArray[np.float32]
# From what a net receives to its logits, float32 [N, K].
Runtime = Callable[[Inputs], Logits]


def runtime(bundle: Bundle, threads: int | None = None, trusted: Sequence[str] = ()) -> Runtime:
    """Load a bundle's net.

    Args:
        bundle: whose hash is compared first.
        threads: that share one batch; None: one a core.
        trusted: formats whose files may run code, see :mod:`burnish.deploy.torch_runtime`.

    Raises:
        BundleError: if the file is damaged or not trusted, its format cannot be run here, or an
            extra is missing.
    """
    bundle.verify_hash()
    if bundle.format == "onnx":
        return onnx_runtime(bundle, threads)
    from burnish.deploy.torch_runtime import load

    return load(bundle.format, bundle.file, trusted=bundle.format in trusted)


def onnx_runtime(bundle: Bundle, threads: int | None = None) -> Runtime:
    """An onnxruntime session on the CPU, as a function."""
    ort = needed("onnxruntime", "serve")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        session = ort.InferenceSession(
            str(bundle.file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of its own classes, all derived from this one
        raise BundleError(f"{bundle.file}: onnxruntime refuses it ({error})") from error
    name = session.get_inputs()[0].name

    def run(inputs: Inputs) -> Logits:
        logits: Logits = session.run(None, {name: inputs})[0]
        return logits

    return run


def torch_runtime(net: nn.Module) -> Runtime:
    """A net in memory, in evaluation mode, as a function."""
    import torch

    net.eval()
    device = next((p.device for p in net.parameters()), torch.device("cpu"))

    def run(inputs: Inputs) -> Logits:
        with torch.inference_mode():
            logits: Any = net(torch.from_numpy(inputs).to(device))
        found: Logits = logits.float().cpu().numpy()
        return found

    return run
