"""Do the inputs arrive as a net expects them: centred, scaled, finite, within the vocabulary?"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from burnish.data.text_table import TextTable
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Row, Status, Verdict
from burnish.report.figures import Drawn, Theme, draw
from burnish.spec import PAD, UNKNOWN, TextSpec

# Initial weights are scaled for inputs of mean 0 and variance 1 (He et al. 2015, section 2.2). At
# 3 deviations off centre or a tenth of the scale the first layer sees little but a constant; at 10
# times the scale (0..255 is 70 times) its outputs, and with them the loss, begin as much too large.
FAR_MEAN, FAR_STD = 3.0, (0.1, 10.0)
# Somewhat off trains nearly as well, but is rarely meant: pixels left in [0, 1] have a std of 0.3.
ODD_MEAN, ODD_STD = 1.0, (0.5, 2.0)
NORMALISE = "set data.mean=null data.std=null to measure them on the training samples"

# Texts: most of what a net could read is lost.
MOSTLY = 0.5
# ... or enough of it to be worth a look.
MUCH = 0.1


def check(subject: Subject) -> Verdict:
    """Range, mean and deviation of a training batch; for texts unknown tokens and padding."""
    if isinstance(subject.data.spec, TextSpec):
        return _texts(subject, subject.data.spec)
    return _numbers(subject.inputs)


def _numbers(inputs: Tensor) -> Verdict:
    """Judge float inputs ``[B, C, ...]``."""
    values_CN = inputs.detach().double().cpu().transpose(0, 1).flatten(1)
    finite = torch.isfinite(values_CN)
    if not bool(finite.all()):
        lost = int((~finite).sum())
        return Verdict(
            "inputs",
            "broken",
            f"{lost:,} of {finite.numel():,} values of a batch are NaN or infinite",
            "look at data and augment: a division by zero or an overflow",
            {"not_finite": lost},
        )
    means, stds = values_CN.mean(1).tolist(), values_CN.std(1, correction=0).tolist()
    low, high = float(values_CN.min()), float(values_CN.max())
    mean, std = float(values_CN.mean()), float(values_CN.std(correction=0))
    status, advice = _judge(means, stds, same=_same(inputs))
    return Verdict(
        "inputs",
        status,
        f"mean {mean:.2f}, std {std:.2f}, from {low:.4g} to {high:.4g}",
        advice,
        {"mean": means, "std": stds, "min": low, "max": high},
        (("channel", "mean", "std"), *_rows(means, stds)),
        _histogram(values_CN.flatten().numpy()),
    )


def _same(inputs: Tensor) -> bool:
    return len(inputs) > 1 and bool((inputs == inputs[:1]).all())


def _rows(means: list[float], stds: list[float]) -> list[Row]:
    pairs = zip(means, stds, strict=True)
    return [(str(i), f"{mean:.3f}", f"{std:.3f}") for i, (mean, std) in enumerate(pairs)]


def _judge(means: list[float], stds: list[float], same: bool) -> tuple[Status, str]:
    if same:
        return "broken", "all samples of the batch are equal: look at data.read or augment"
    furthest = max(map(abs, means))
    if furthest > FAR_MEAN or max(stds) < FAR_STD[0] or max(stds) > FAR_STD[1]:
        return "broken", f"the inputs are not normalised (about 0 and 1 is expected): {NORMALISE}"
    if min(stds) < FAR_STD[0]:
        return (
            "note",
            f"channel {stds.index(min(stds))} is nearly constant: does it carry anything?",
        )
    if furthest > ODD_MEAN or min(stds) < ODD_STD[0] or max(stds) > ODD_STD[1]:
        return "note", f"somewhat off 0 and 1; unless pretrained weights want it so, {NORMALISE}"
    return "ok", ""


def _histogram(values: np.ndarray) -> Drawn:
    def paint(axes: Axes, theme: Theme) -> None:
        share = np.full(len(values), 100 / len(values))
        axes.hist(values, 60, weights=share, color=theme.colours[0])
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("value")
        axes.set_ylabel("% of the batch")

    return draw("What the net is given", paint)


def _texts(subject: Subject, spec: TextSpec) -> Verdict:
    ids = subject.inputs
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= spec.vocabulary_size:
        return Verdict(
            "inputs",
            "broken",
            f"ids from {low} to {high}, but the vocabulary has {spec.vocabulary_size:,}",
            "look at the tokenizer: ids count from 0 and end below the vocabulary's size",
            {"min": low, "max": high},
        )
    if _same(ids):
        return Verdict("inputs", "broken", "all texts are the same ids", "look at data.text_column")
    shares = {"unknown": _share(ids[ids != PAD] == UNKNOWN), "padding": _padding(subject)}
    shares |= _of_split(subject, spec)
    status, advice = _judge_texts(shares)
    known = f"{spec.vocabulary_size:,} tokens known"
    figure = ", ".join([known, *(f"{value:.1%} {name}" for name, value in shares.items() if value)])
    rows = tuple((name, f"{value:.2%}") for name, value in shares.items())
    return Verdict("inputs", status, figure, advice, shares, (("what", "share"), *rows))


def _share(mask: Tensor) -> float:
    return float(mask.double().mean()) if mask.numel() else 0.0


def _padding(subject: Subject) -> float:
    """Share of padding in the run's batches: several small ones may lie side by side."""
    size = subject.data.batch_size
    if len(subject.inputs) <= size:
        return _share(subject.inputs == PAD)
    words = [(batch != PAD) for batch in torch.split(subject.inputs, size)]
    widths = [int(kept.any(0).nonzero().max()) + 1 if kept.any() else 0 for kept in words]
    places = sum(len(kept) * width for kept, width in zip(words, widths, strict=True))
    return 1 - sum(int(kept.sum()) for kept in words) / max(places, 1)


def _of_split(subject: Subject, spec: TextSpec) -> dict[str, float]:
    """Shares of the texts of the training split that are cut, and that have no token at all."""
    table, rows = subject.data.splits["train"]
    if not isinstance(table, TextTable):
        return {}
    tokens = table.tokens[rows]
    return {"of texts cut": _share(tokens > spec.max_length), "of texts empty": _share(tokens == 0)}


def _judge_texts(shares: dict[str, float]) -> tuple[Status, str]:
    advice = {
        "unknown": "lower data.min_frequency, raise data.vocabulary_size or use data.tokenizer=bpe",
        "of texts empty": "look at data.text_column and data.tokenizer",
        "of texts cut": "raise data.max_length if what follows matters",
    }
    for name in ("unknown", "of texts empty"):
        if shares.get(name, 0) > MOSTLY:
            return "broken", advice[name]
    odd = [text for name, text in advice.items() if shares.get(name, 0) > MUCH]
    if shares["padding"] > MOSTLY:
        odd.append("more padding than text: batch texts of similar length")
    return ("note", "; ".join(odd)) if odd else ("ok", "")
