"""Why a net answers as it does: Grad-CAM for images, integrated gradients for texts.

Both run the net as in evaluation and leave no trace: its modes, gradients and ``requires_grad``
flags are as before. A compiled net runs uncompiled, since compiled code passes by the hooks.

Shape suffixes: B batch, C channels, H height, W width, h and w those of a feature map, L length in
tokens with padding, D width of an embedding, S points of the path.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.errors import ModelError
from burnish.spec import PAD

ROWS = 256  # texts of one pass: enough to be fast, little memory


def last_convolution(net: nn.Module, inputs_BCHW: Tensor | None = None) -> str | None:
    """The last convolution whose feature maps still say where, as a dotted name; None if none.

    Args:
        net: of images.
        inputs_BCHW: a batch, one image will do, for a pass that shows in which order the layers
            run and how large their maps are; without it the order of registration decides.
    """
    layers = {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    if inputs_BCHW is None or not layers:
        return next(reversed(layers), None)
    ran: list[tuple[str, bool]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda _layer, _inputs, output: ran.append((name, max(output.shape[-2:]) > 1))

    with evaluating(net), torch.no_grad(), hooked({m: note(name) for name, m in layers.items()}):
        net.forward(_usable(inputs_BCHW))
    extended = [name for name, has_places in ran if has_places]
    return next(reversed(extended or [name for name, _ in ran]), None)


def grad_cam(net: nn.Module, inputs_BCHW: Tensor, classes_B: Tensor, layer: str) -> Tensor:
    """Where a convolution's maps speak for a class: ``relu(sum_k mean_hw(dy/dA_k) A_k)``.

    Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", https://arxiv.org/abs/1610.02391.

    Args:
        net: of images.
        inputs_BCHW: float, preprocessed.
        classes_B: int64, the class to explain of each image.
        layer: dotted name, see :func:`last_convolution`.

    Returns:
        float32 ``[B, h, w]``, at least 0, of the layer's size.

    Raises:
        ModelError: if the net has no such layer, or its output has no height and width.
    """
    found = _layer(net, layer)
    maps: list[Tensor] = []

    def capture(_layer: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4:
            raise ModelError(f"layer={layer}: its output is no map; {_convolutions(net)}")
        maps[:] = [_leaf(output)]
        return maps[0].clone()  # what follows may work in place

    with evaluating(net), hooked({found: capture}):
        logits_BC = net.forward(_usable(inputs_BCHW))
        if not maps:
            raise ModelError(f"layer={layer}: the net does not run it; {_convolutions(net)}")
        (slope,) = torch.autograd.grad(_chosen(logits_BC, classes_B).sum(), maps)
    weights = slope.mean((2, 3), keepdim=True)
    return (weights * maps[0]).sum(1).relu().detach().float()


@dataclass(frozen=True)
class Attributions:
    """What each token of some texts adds to the logits of their classes.

    Args:
        scores: float32 ``[B, L]``; 0 on padding.
        sum: of the scores, float32 ``[B]``.
        difference: logit of the text minus logit of the baseline, float32 ``[B]``: exact scores
            add up to it, so that the gap is the error of the integration.
    """

    scores: Tensor
    sum: Tensor
    difference: Tensor


def embedding_of(net: nn.Module) -> str | None:
    """Dotted name of the layer that turns tokens into vectors; None if the net has none."""
    return next((name for name, m in net.named_modules() if isinstance(m, nn.Embedding)), None)


def integrated_gradients(
    net: nn.Module, tokens_BL: Tensor, classes_B: Tensor, *, steps: int = 64
) -> Attributions:
    """Gradients along the straight path from no text to the text, times its length.

    Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks",
    https://arxiv.org/abs/1703.01365. The path runs through the outputs of all embeddings, from the
    vector of the padding; the net sees the text's own ids, so that lengths and masks stay as they
    are. An n-gram counts for the token that it begins with. The integral is a Gauss-Legendre sum.

    Args:
        net: of texts.
        tokens_BL: int64 ids, padded with 0 behind.
        classes_B: int64, the class to explain of each text.
        steps: points of the sum.

    Raises:
        ModelError: if the net embeds no tokens.
    """
    layers = [m for m in net.modules() if isinstance(m, nn.Embedding)]
    if not layers:
        raise ModelError(
            f"{type(net).__name__} has no nn.Embedding: only nets of texts have token attributions"
        )
    points, weights = np.polynomial.legendre.leggauss(steps)
    at_once = max(1, ROWS // max(1, len(tokens_BL)))
    # No cuDNN: its recurrent layers refuse a backward pass in evaluation mode.
    with evaluating(net), torch.backends.cudnn.flags(enabled=False):
        scores = torch.zeros(tokens_BL.shape, device=tokens_BL.device)
        path = _Path(net, layers, _usable(tokens_BL), _usable(classes_B))
        for first in range(0, steps, at_once):
            part = slice(first, first + at_once)
            scores += path.integral((points[part] + 1) / 2, weights[part] / 2)
        start_B, end_B = path.ends()
    scores = scores.masked_fill(tokens_BL == PAD, 0.0)
    return Attributions(scores, scores.sum(1), end_B - start_B)


class _Path:
    """Texts on their way from the baseline (0) to themselves (1)."""

    def __init__(
        self, net: nn.Module, layers: list[nn.Embedding], tokens_BL: Tensor, classes_B: Tensor
    ) -> None:
        self.net, self.layers = net, layers
        self.tokens_BL, self.classes_B = tokens_BL, classes_B
        self.steps: list[tuple[Tensor, Tensor]] = []  # of each embedding: its way, its place

    def integral(self, points: Any, weights: Any) -> Tensor:
        """The points' part of the scores, float32 ``[B, L]``."""
        total = self._logits(points).sum()
        slopes = torch.autograd.grad(total, [place for _, place in self.steps])
        batch, length = self.tokens_BL.shape
        weights_S11 = self.tokens_BL.new_tensor(weights, dtype=torch.float32).view(-1, 1, 1)
        part_BL = torch.zeros(batch, length, device=self.tokens_BL.device)
        for (way, _), slope in zip(self.steps, slopes, strict=True):
            along_BL = (way * slope).sum(-1).float()[:, :length]  # some nets pad further
            part_BL += (weights_S11 * along_BL.view(-1, batch, length)).sum(0)
        return part_BL

    def ends(self) -> tuple[Tensor, Tensor]:
        """The logits at 0 and 1, float32 ``[B]`` each."""
        with torch.no_grad():
            start, end = self._logits([0.0, 1.0]).float().chunk(2)
        return start, end

    def _logits(self, points: Any) -> Tensor:
        """Of the chosen classes, all texts at the first point first, ``[S * B]``."""
        count, batch = len(points), len(self.tokens_BL)
        shares = self.tokens_BL.new_tensor(points, dtype=torch.float32).repeat_interleave(batch)
        self.steps = []

        def move(layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            pad, table = layer.padding_idx, layer.weight
            assert isinstance(table, Tensor)
            start = table[pad].detach() if isinstance(pad, int) else torch.zeros_like(table[0])
            way = output.detach() - start
            place = _leaf(start + shares.view(-1, 1, 1) * way)
            self.steps.append((way, place))
            return place.clone()

        with hooked(dict.fromkeys(self.layers, move)):
            logits = self.net.forward(self.tokens_BL.repeat(count, 1))
        return _chosen(logits, self.classes_B.repeat(count))


def _chosen(logits_BC: Tensor, classes_B: Tensor) -> Tensor:
    return logits_BC.gather(1, classes_B[:, None])[:, 0]


def _leaf(x: Tensor) -> Tensor:
    """Gradients are wanted up to here and no further, whatever the parameters say."""
    return x.detach().requires_grad_()


def _usable(x: Tensor) -> Tensor:
    """Tensors made in inference mode cannot take part in a backward pass; copies can."""
    return x.clone() if x.is_inference() else x


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients, wherever it is called from."""
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def hooked(hooks: dict[Any, Callable[..., Any]]) -> Iterator[None]:
    """Forward hooks by their modules, for a while."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layer(net: nn.Module, name: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(net.named_modules())
    if name and name in layers:
        return layers[name]
    nearest = difflib.get_close_matches(name, filter(None, layers), 1)
    hint = f" did you mean {nearest[0]}?" if nearest else ""
    raise ModelError(
        f"layer={name}: {type(net).__name__} has no such layer;{hint} {_convolutions(net)}"
    )


def _convolutions(net: nn.Module) -> str:
    names = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    return f"its convolutions: {', '.join(names) or 'none'}"
