"""What a trial can be weighed against besides its monitored metric: size and speed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WARM_UP, REPEATS = 5, 30


def further(names: Sequence[str], net: nn.Module, inputs: Tensor, seconds: float) -> list[float]:
    """Values of further objectives.

    Args:
        names: ``parameters``: numbers that are trained; ``latency``: milliseconds of the net for
            one sample; ``seconds``: that the training took.
        net: trained.
        inputs: one preprocessed sample ``[1, ...]`` on the net's device.
        seconds: of the training.
    """
    values = {
        "parameters": lambda: float(sum(p.numel() for p in net.parameters())),
        "latency": lambda: latency_milliseconds(net, inputs),
        "seconds": lambda: seconds,
    }
    return [values[name]() for name in names]


@torch.inference_mode()
def latency_milliseconds(net: nn.Module, inputs: Tensor) -> float:
    """Median time of a forward pass in milliseconds, after some to warm up."""
    net.eval()
    durations = []
    for _ in range(WARM_UP + REPEATS):
        started = time.perf_counter()
        net(inputs)
        if inputs.is_cuda:
            torch.cuda.synchronize(inputs.device)
        durations.append(time.perf_counter() - started)
    return 1000 * statistics.median(durations[WARM_UP:])
