"""An exported net where torch expects a module: it answers, and cannot be trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from burnish.deploy.runtime import Runtime


class ExportedNet(nn.Module):
    """Logits of a runtime.

    Args:
        run: the net; it computes on the CPU.
    """

    def __init__(self, run: Runtime) -> None:
        super().__init__()
        self._run = run
        # Whoever feeds a net asks its parameters for the device.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits float32 ``[B, K]`` of what the net was exported for."""
        return torch.from_numpy(self._run(inputs.cpu().numpy())).to(inputs.device)
