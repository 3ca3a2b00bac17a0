"""Does every weight that shall be trained hear of the loss, and does the optimizer move it?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor, nn

from burnish.diagnosis.steps import Steps, seeded
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Row, Status, Verdict
from burnish.report.figures import Drawn, Theme, draw

# A layer that begins at zero (a head, the last norm of a residual branch) holds back what lies
# before it for one step; whatever is silent for three will be silent for ever.
STEPS = 3
# Deep sigmoid nets and the like: float32 carries 7 digits, and what is smaller by more is lost
# when gradients meet; long before that the first layers hardly learn.
VANISHED, VANISHING = 1e-7, 1e-4
# Above it a usual learning rate throws weights far; recurrent nets know it (Pascanu et al. 2013).
LARGE = 1e3
# Most of the net being silent is another thing than a part of it that is not used.
MOSTLY = 0.5


@dataclass(frozen=True)
class Layer:
    """The parameters of one module together.

    Args:
        name: dotted, within the net.
        weights: how many numbers.
        gradient: norm of the first pass's gradient.
        per_weight: its root mean square over weight matrices; None: the module has none.
        silent: of its numbers, those in tensors that got no gradient in any step.
        moved: norm of the change that all steps made, over the norm before.
    """

    name: str
    weights: int
    gradient: float
    per_weight: float | None
    silent: int
    moved: float


def check(subject: Subject) -> Verdict:
    """One backward pass, layer by layer, and up to two more where layers stay silent at first.

    Weights that the configuration freezes are left out.
    """
    untrained = _untrained(subject)
    if untrained is not None:
        return untrained
    with seeded(subject):
        layers = _measured(Steps(subject, "32-true"), subject)
    status, advice = _judge(layers)
    total = float(torch.tensor([layer.gradient for layer in layers]).norm())
    rates = [layer.per_weight for layer in layers if layer.per_weight]
    spread = f", up to {max(rates) / min(rates):.0f} times apart by layer" if len(rates) > 1 else ""
    frozen = _frozen(subject, sum(layer.weights for layer in layers))
    return Verdict(
        "gradients",
        status,
        f"norm {total:.3g}{spread}{frozen}",
        advice,
        {"norm": total, "layers": {layer.name: layer.gradient for layer in layers}},
        (("layer", "weights", "gradient norm", "moved"), *map(_row, layers)),
        _drawing(layers),
    )


def _untrained(subject: Subject) -> Verdict | None:
    """The verdict on a net of which nothing is to be trained."""
    net = subject.make().net
    parameters = [*net.parameters()]
    if any(parameter.requires_grad for parameter in parameters):
        return None
    found = f"none of {sum(p.numel() for p in parameters):,} weights is trained"
    advice = "requires_grad is false everywhere: to train the last layer alone use freeze=backbone"
    return Verdict("gradients", "broken", found, advice)


def _frozen(subject: Subject, trained: int) -> str:
    total = sum(parameter.numel() for parameter in subject.make().net.parameters())
    return "" if trained == total else f"; {trained:,} of {total:,} weights are trained"


def _measured(steps: Steps, subject: Subject) -> list[Layer]:
    net = steps.module.net
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    first: dict[str, Tensor] = {}
    heard: set[str] = set()
    inputs, targets = subject.few()
    for _ in range(STEPS):
        loss = steps.loss(inputs, targets)
        if loss.requires_grad:  # else no trained weight has a part in it
            steps.backward(loss)
        found = {name: p.grad.detach().clone() for name, p in trained.items() if p.grad is not None}
        first = first or found  # later ones behind a layer from zero are as small as a step
        heard |= {name for name, gradient in found.items() if bool((gradient != 0).any())}
        steps.update()
        if len(heard) == len(trained):
            break
    groups: dict[str, list[str]] = {}
    for name in trained:
        groups.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return [
        _layer(name, members, trained, before, first, heard) for name, members in groups.items()
    ]


def _layer(
    name: str,
    members: list[str],
    trained: dict[str, nn.Parameter],
    before: dict[str, Tensor],
    first: dict[str, Tensor],
    heard: set[str],
) -> Layer:
    gradients = [first.get(member, torch.zeros_like(before[member])) for member in members]
    matrices = [g.flatten() for g in gradients if g.ndim > 1]
    change = _norm([trained[member].detach() - before[member] for member in members])
    return Layer(
        name,
        sum(gradient.numel() for gradient in gradients),
        _norm(gradients),
        float(torch.cat(matrices).pow(2).mean().sqrt()) if matrices else None,
        sum(before[member].numel() for member in members if member not in heard),
        change / max(_norm([before[member] for member in members]), 1e-12),
    )


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.float().norm() for tensor in tensors]).norm())


def _judge(layers: list[Layer]) -> tuple[Status, str]:
    gradients = torch.tensor([layer.gradient for layer in layers])
    if lost := [layer.name for layer in layers if not torch.isfinite(torch.tensor(layer.gradient))]:
        return "broken", f"NaN or infinite in {lost[0]}: look at inputs and loss, or debug=anomaly"
    total = sum(layer.weights for layer in layers)
    silent = [layer.name for layer in layers if layer.silent]
    share = sum(layer.silent for layer in layers) / total
    if share > MOSTLY:
        return "broken", f"{share:.0%} of the weights get no gradient: {_some(silent)}"
    if not any(layer.moved for layer in layers):
        return "broken", "a step of the optimizer moves nothing: look at optimizer and its lr"
    rates = [layer.per_weight for layer in layers if layer.per_weight]
    ratio = min(rates) / max(rates) if rates else 1.0
    if ratio < VANISHED:
        return "broken", "gradients vanish on their way back: use ReLU, norms, residual connections"
    odd = []
    if silent:
        odd.append(f"{share:.1%} of the weights get no gradient: {_some(silent)}")
    if ratio < VANISHING:
        odd.append("some layers get far smaller gradients than others")
    if float(gradients.norm()) > LARGE:
        odd.append("large: normalise the inputs, or set trainer.gradient_clip_val=1")
    return ("note", "; ".join(odd)) if odd else ("ok", "")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _row(layer: Layer) -> Row:
    return layer.name, layer.weights, f"{layer.gradient:.3g}", f"{layer.moved:.2%}"


def _drawing(layers: list[Layer]) -> Drawn:
    def paint(axes: Axes, theme: Theme) -> None:
        shown = [layer for layer in layers if layer.per_weight]
        place = range(len(shown))
        values = [layer.per_weight or 0 for layer in shown]
        axes.plot(place, values, "o-", markersize=4, linewidth=1.2, color=theme.colours[0])
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("weight matrices from the input on, but for silent ones")
        axes.set_ylabel("root mean square")
        axes.set_xticks([])

    return draw("Gradient per weight", paint)
