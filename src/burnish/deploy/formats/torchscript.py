"""TorchScript: a traced net. torch has deprecated it; it stays for what can load nothing else."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from burnish.deploy.formats.example import example, exporting, loading
from burnish.deploy.runtime import Runtime, torch_runtime
from burnish.spec import Spec


def write_torchscript(net: nn.Module, spec: Spec, file: Path) -> None:
    """Trace the net; that it holds at other sizes too is for the verification to show.

    Args:
        net: in evaluation mode, on the CPU.
        spec: of its data.
        file: to write.

    Raises:
        BundleError: if it cannot be traced.
    """
    with exporting("torchscript"), torch.inference_mode():
        traced = torch.jit.trace(net, example(spec), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(file))


def load_torchscript(file: Path) -> Runtime:
    """The net as a function. The file is a program: load only what you trust."""
    with loading(file):
        net: nn.Module = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    return torch_runtime(net)
