"""What computes logits: onnxruntime for an exported net, torch for one in memory.

Shapes: N inputs, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
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


# How an ONNX file names another one with weights: a key of eight letters in its protobuf.
EXTERNAL = b"\n\x08location\x12"


def onnx_runtime(bundle: Bundle, threads: int | None = None) -> Runtime:
    """An onnxruntime session on the CPU, as a function."""
    ort = needed("onnxruntime", "serve")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 3  # errors; they are raised as well
    net = bundle.file.read_bytes()
    if EXTERNAL in net:
        raise BundleError(f"{bundle.file}: keeps weights in other files, which no hash covers")
    try:
        session = ort.InferenceSession(net, options, providers=["CPUExecutionProvider"])
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
