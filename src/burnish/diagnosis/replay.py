"""Once more through the batch that a run broke on, layer by layer.

The batch and the weights that met it lie in ``nonfinite.pt``, where
:class:`burnish.learner.finite.Finite` put them. The file is a checkpoint with a batch beside it:
what restores a run from a checkpoint restores it from this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.diagnosis.training import Training
from burnish.diagnosis.verdict import Verdict
from burnish.errors import ModelError, RunError
from burnish.learner.module import ClassifierModule, load_weights, net_weights
from burnish.learner.tracing import Layer, Origin, find_origin
from burnish.runs.folder import NONFINITE
from burnish.runs.weights import read_checkpoint

HEADING = (
    "layer", "kind", "output", "largest", "not finite", "largest gradient", "not finite",
)  # fmt: skip
HALF = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def read_saved(run: Path) -> dict[str, Any] | None:
    """What a run kept of the step that was not finite; None if it kept nothing.

    Args:
        run: the run folder.

    Raises:
        RunError: if the file is not what burnish writes.
    """
    path = run / NONFINITE
    if not path.exists():
        return None
    saved = read_checkpoint(path)
    if not isinstance(saved.get("inputs"), Tensor) or not isinstance(saved.get("targets"), Tensor):
        raise RunError(f"{path}: holds no batch (inputs and targets)")
    return saved


def outdated(saved: Mapping[str, Any], run: Training) -> Verdict | None:
    """A note if the run went on from an earlier checkpoint and has passed the step since.

    Args:
        saved: of :func:`read_saved`.
        run: as its folder tells it.
    """
    step, what, told = saved.get("step"), saved.get("what"), run.result.get("exception")
    ended_by_it = run.status == "failed" and isinstance(told, str) and told.startswith(str(what))
    steps = run.result.get("steps")
    logged = [point.step for points in run.curves.values() for point in points]
    reached = max([*logged, steps if isinstance(steps, int) else 0], default=0)
    if not isinstance(step, int) or ended_by_it or reached <= step:
        return None
    return Verdict(
        "replay",
        "note",
        f"{NONFINITE} is of step {step:,}, which the run has passed since: it is at {reached:,}",
        "Remove the file: it tells nothing of the run as it is.",
        values={"step": step, "reached": reached},
    )


def check(module: ClassifierModule, saved: Mapping[str, Any]) -> Verdict:
    """Run the kept batch forwards and backwards through the kept weights.

    Args:
        module: of the run; its weights are replaced, its modes become those of the training.
        saved: of :func:`read_saved`.

    Returns:
        ``broken``, naming where values stop being finite; ``note`` if they are all finite this
        time (dropout draws other units than in the run). With a row a layer.

    Raises:
        ModelError: if the weights do not fit the net.
        RunError: if the batch does not fit the net.
    """
    _prepare(module, saved)
    precision = str(saved.get("precision", ""))
    origin = _replayed(module, saved, HALF.get(precision))
    halved = precision in HALF and origin.kind in ("layer", "gradient")
    if halved and _replayed(module, saved, None).kind == "nowhere":
        sentence = f"{origin.sentence}, in {precision} alone: float32 holds these values"
        origin = replace(origin, sentence=sentence)
    step = saved.get("step")
    return Verdict(
        "replay",
        "note" if origin.kind == "nowhere" else "broken",
        f"step {step}: {origin.sentence}",
        "" if origin.kind == "nowhere" else _capital(origin.advice),
        values={"step": step, "place": origin.kind, "sentence": origin.sentence},
        rows=(HEADING, *(_row(layer) for layer in origin.layers)),
    )


def _prepare(module: ClassifierModule, saved: Mapping[str, Any]) -> None:
    try:
        load_weights(module.net, net_weights(saved))
    except ModelError as error:
        raise ModelError(f"{NONFINITE}: {error}") from error
    module.train()
    frozen = saved.get("evaluating")
    names = set(frozen) if isinstance(frozen, list) else set()
    for name, part in module.net.named_modules():
        part.training = name not in names


def _replayed(
    module: ClassifierModule, saved: Mapping[str, Any], half: torch.dtype | None
) -> Origin:
    device = next(module.parameters()).device
    inputs, targets = saved["inputs"].to(device), saved["targets"].to(device)
    module.zero_grad()
    loss: nn.Module = module.loss
    try:
        with torch.autocast(device.type, half) if half else nullcontext():
            return find_origin(module.net, loss, inputs, targets, backward=True)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise RunError(f"{NONFINITE}: its batch does not fit the net ({error})") from error


def _row(layer: Layer) -> tuple[str | int, ...]:
    return (
        layer.name,
        layer.kind,
        " x ".join(map(str, layer.shape)),
        _short(layer.largest),
        layer.wrong,
        _short(layer.gradient_largest),
        "" if layer.gradient_wrong is None else layer.gradient_wrong,
    )


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
