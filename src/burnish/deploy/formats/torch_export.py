"""torch.export: a graph of torch's own operators, for torch itself, AOTInductor and ExecuTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn

from burnish.deploy.formats.example import dynamic_sizes, example, exporting, loading
from burnish.deploy.runtime import Runtime, torch_runtime
from burnish.spec import Spec


def exported(
    net: nn.Module, spec: Spec, max_batch: int | None = None
) -> torch.export.ExportedProgram:
    """The net's graph, with dynamic batch (and length, for texts).

    Args:
        net: in evaluation mode, on the CPU.
        spec: of its data.
        max_batch: the largest batch; None: any.
    """
    with torch.no_grad(), whole_lstm():
        return torch.export.export(
            net, (example(spec),), dynamic_shapes=(dynamic_sizes(spec, max_batch),), strict=False
        )


def whole_lstm() -> AbstractContextManager[None]:
    """Keep an LSTM one operator: torch.export else unrolls it to the length of the example.

    That is what torch.onnx.export enters too, under a name that may change.
    """
    try:
        from torch.export._patches import register_lstm_while_loop_decomposition as kept
    except ImportError:
        return nullcontext()
    return kept()


def write_torch_export(net: nn.Module, spec: Spec, file: Path) -> None:
    """Write the graph with its weights.

    Args:
        net: in evaluation mode, on the CPU.
        spec: of its data.
        file: to write.

    Raises:
        BundleError: if the net has no such graph.
    """
    with exporting("torch_export"):
        torch.export.save(exported(net, spec), file)


def load_torch_export(file: Path) -> Runtime:
    """The net as a function. Reading executes what the file holds: load only what you trust."""
    with loading(file):
        net = torch.export.load(file).module()
    return torch_runtime(_AsItIs(net))


class _AsItIs(nn.Module):
    """A graph's module refuses ``eval()``: it was exported in that mode."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = [graph]  # in a list, so that it is no child

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.graph[0](inputs)
        return logits
