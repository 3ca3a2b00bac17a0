"""Gradient checkpointing: a block's activations are computed again when its gradients are needed.

The net then keeps what enters each block instead of all that is computed inside, for about a third
more time a step (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost",
https://arxiv.org/abs/1604.06174).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def checkpointed(block: nn.Module, *inputs: Tensor) -> Tensor:
    """The block's output, computed a second time in the backward pass; the same gradients.

    Dropout drops the same units both times, and running statistics move once.

    Args:
        block: what to compute.
        *inputs: its arguments.
    """
    # A compiled graph keeps the moving of statistics out of what it computes again, and takes no
    # contexts of this kind.
    if torch.compiler.is_compiling():
        return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(block)

    output: Tensor = checkpoint(block, *inputs, use_reentrant=False, context_fn=contexts)
    return output


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Norms go by their batch as before, but their running statistics stay.

    Momentum 0 leaves them bit for bit what they were; without statistics at all the second pass
    would save other tensors than the first, which checkpointing refuses.
    """
    norms = [layer for layer in block.modules() if isinstance(layer, _NormBase)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, batches) in zip(norms, before, strict=True):
        norm.momentum = 0.0
        norm.num_batches_tracked = None if batches is None else batches.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
