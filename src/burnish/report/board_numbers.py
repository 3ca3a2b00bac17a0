"""Numbers for TensorBoard: histograms of parameters, precision and recall, the run's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter, summary

from burnish.report.board_words import one_line
from burnish.runs.compare import flat

BINS = 64  # TensorBoard shows 30
MOST_CURVES = 30  # of more classes, the first ones
# What makes no difference between experiments.
LEFT_OUT = {
    "paths",
    "logger",
    "callbacks",
    "name",
    "traceback",
    "trust",
    "resume",
    "test",
    "report",
}


def histograms(writer: SummaryWriter, net: nn.Module, step: int) -> None:
    """Weights, and the gradients of the step before, of every parameter."""
    for name, parameter in net.named_parameters():
        histogram(writer, f"weights/{name}", parameter.detach(), step)
        if parameter.grad is not None:
            histogram(writer, f"gradients/{name}", parameter.grad, step)


def histogram(writer: SummaryWriter, tag: str, values: Tensor, step: int) -> None:
    """The finite ones of some values, in equal bins; nothing if there are none.

    The writer's own way sorts into 1,549 bins that TensorBoard then merges to 30, which takes 3
    times as long.
    """
    flat_values = values.flatten().cpu().float()  # a GPU's histc is not deterministic
    flat_values = flat_values[flat_values.isfinite()]
    if not len(flat_values):
        return
    low, high = (float(x) for x in flat_values.aminmax())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64)
    writer.add_histogram_raw(
        tag,
        min=float(flat_values.min()),
        max=float(flat_values.max()),
        num=len(flat_values),
        sum=float(flat_values.sum(dtype=torch.float64)),
        sum_squares=float(flat_values.double().square().sum()),
        bucket_limits=edges[1:].tolist(),
        bucket_counts=torch.histc(flat_values, BINS, low, high).tolist(),
        global_step=step,
    )


def pr_curves(
    writer: SummaryWriter,
    truth_N: Tensor,
    probabilities_NK: Tensor,
    names: Sequence[str],
    step: int,
) -> None:
    """Precision and recall of each class against the rest."""
    for i, name in enumerate(names[:MOST_CURVES]):
        # Numbered: TensorBoard would take names for equal that differ in a space.
        tag = f"precision_recall/{i:02d} {one_line(name)}"
        writer.add_pr_curve(tag, truth_N == i, probabilities_NK[:, i], step)


def session(writer: SummaryWriter, config: Mapping[str, Any]) -> None:
    """The run's row in the HPARAMS tab, whose metrics are the last values of all scalars.

    No list of columns is written: TensorBoard would take that of one run for all of them.
    """
    kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
    values = {key: plain(value) for key, value in flat(kept).items() if value not in (None, {})}
    _add(writer, _entries(values)[1])


def session_end(writer: SummaryWriter) -> None:
    """The run went well."""
    _add(writer, _entries({})[2])


def plain(value: Any) -> float | str:
    """A setting as the tab sorts it: a number or a text."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, int | float) else str(value)


def _entries(values: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Columns, start and end of a row."""
    make: Any = summary.hparams
    entries: tuple[Any, Any, Any] = make(dict(values), {})
    return entries


def _add(writer: Any, entry: Any) -> None:
    writer._get_file_writer().add_summary(entry)  # as Lightning's own logger does it
