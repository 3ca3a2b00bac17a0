"""How well exported nets answer on a run's data, and what they cost, for the verbs that export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from burnish.data.base import DataModule
from burnish.deploy import measure
from burnish.deploy.bundle import Bundle
from burnish.deploy.loading import runtime
from burnish.deploy.making import Items, make_quantized
from burnish.deploy.measure import Contender, Labelled, Measured, latencies, repeated
from burnish.deploy.predictor import Predictor
from burnish.deploy.preprocess import Inputs
from burnish.deploy.runtime import Runtime, torch_runtime
from burnish.deploy.verify import Differs
from burnish.errors import BundleError
from burnish.runs.console import say, short, table
from burnish.runs.words import size

# CIFAR10Net in int8 answers 71.3 % of the test split right with 16 of them as with 4,096 (71.2 in
# floats); other nets may be more particular.
CALIBRATION = 256


def judged_split(data: DataModule) -> str:
    """The split that a net is judged by."""
    return "test" if data.has_test else "val"


def labelled(data: DataModule, split: str) -> Iterator[Labelled]:
    """A split as a net receives it, in batches of ``data.eval_batch_size``."""
    before = data.evaluate_split
    data.evaluate_split = split  # type: ignore[assignment]
    loader = data.test_dataloader()
    data.evaluate_split = before
    for inputs, labels in loader:
        yield data.preprocess(inputs).numpy(), labels.numpy()


def accuracy_of(run: Runtime, data: DataModule, split: str | None = None) -> float:
    """Share of right answers on a split, in [0, 1].

    Args:
        run: any net.
        data: set up.
        split: None: the test split, or the validation split if there is none.
    """
    return measure.accuracy(run, labelled(data, split or judged_split(data)))


def calibration(data: DataModule, samples: int = CALIBRATION, seed: int = 0) -> Iterator[Inputs]:
    """Random training samples, without augmentation, as a net receives them."""
    source, rows = data.splits["train"]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    chosen = rows[order[:samples]]
    for part in torch.split(chosen, 64):
        yield data.preprocess(source.__getitems__(part.tolist())[0]).numpy()


def quantized(
    base: Bundle,
    method: str,
    target: Path,
    data: DataModule | None,
    *,
    max_drop: float = 0.01,
    force: bool = False,
    validation: Items | None = None,
) -> Bundle:
    """Make the int8 bundle of an ONNX bundle; measure both and show it.

    Args:
        base: in floats.
        method: ``dynamic`` or ``static``.
        target: the new bundle's folder.
        data: the run's, set up; None: it is not at hand.
        max_drop: of accuracy, that int8 may lose; 0.01 is one percentage point.
        force: keep it whatever it loses, or if there is no data to tell.
        validation: inputs for drift's reference.

    Raises:
        BundleError: if the method does not suit the net, or data is missing.
        Differs: if int8 loses more; nothing is kept then.
    """
    if data is None:
        if not force or method == "static":
            raise BundleError(
                f"quantize: {method} needs the run's data, "
                + ("to calibrate on" if method == "static" else "to tell what int8 loses")
                + "; say where it is, data.root=... of pictures, data.path=... of a table"
            )
        made = make_quantized(base, method, target, [], validation)
        say(f"onnx-int8: {_placed(made)}; what it loses of accuracy was not measured")
        return made

    def measured(predictor: Predictor) -> dict[str, Any]:
        split = judged_split(data)
        say(f"onnx-int8: {method}; measuring on {len(data.splits[split][1]):,} {split} samples ...")
        found = before_and_after(runtime(base), predictor.run, data)
        found["float32"]["bytes"] = base.card["bytes"]
        if not force:
            refuse_drop(found, max_drop)
        return found

    made = make_quantized(base, method, target, calibration(data), validation, measured)
    _show(made)
    say(f"onnx-int8: {_placed(made)}")
    return made


def _placed(bundle: Bundle) -> str:
    return f"{short(bundle.path)}  {bundle.card['bytes'] / 1e6:.1f} MB"


def before_and_after(before: Runtime, after: Runtime, data: DataModule) -> dict[str, Any]:
    """Accuracy and latency of a net in floats and of the same in int8.

    Returns:
        ``split``, its ``samples``, ``drop`` of accuracy, and under ``float32`` and ``int8`` their
        ``accuracy``, ``batch_1_ms`` and ``batch_32_ms``.
    """
    split = judged_split(data)
    runs = {"float32": before, "int8": after}
    inputs = repeated(next(labelled(data, split))[0], 32)
    one, some = latencies(runs, inputs[:1]), latencies(runs, inputs)
    right = {name: accuracy_of(run, data, split) for name, run in runs.items()}
    return {
        "split": split,
        "samples": len(data.splits[split][1]),
        "drop": round(right["float32"] - right["int8"], 6),
        **{
            name: {
                "accuracy": round(right[name], 6),
                "batch_1_ms": round(one[name], 4),
                "batch_32_ms": round(some[name], 4),
            }
            for name in runs
        },
    }


def refuse_drop(measured: Mapping[str, Any], max_drop: float) -> None:
    """Refuse an int8 net that answers too badly.

    Raises:
        Differs: if it lost more than ``max_drop``.
    """
    if measured["drop"] > max_drop:
        raise Differs(
            f"quantize: int8 takes the accuracy on the {measured['split']} split from "
            f"{measured['float32']['accuracy']:.4f} to {measured['int8']['accuracy']:.4f}, more "
            f"than max_drop={max_drop:g} allows; give a larger max_drop=, or force=true"
        )


def _show(made: Bundle) -> None:
    """The table of both."""
    measured = made.card["measured"]
    before, after = measured["float32"], {**measured["int8"], "bytes": made.card["bytes"]}
    rows: list[tuple[str, str, Callable[[Any], str]]] = [
        (f"accuracy ({measured['split']})", "accuracy", "{:.4f}".format),
        ("size", "bytes", size),
        ("latency, batch 1", "batch_1_ms", milliseconds),
        ("latency, batch 32", "batch_32_ms", milliseconds),
    ]
    cells = [(what, form(before[key]), form(after[key])) for what, key, form in rows]
    say(table([("", "float32", f"int8 ({made.card['quantize']})"), *cells]))


def _threads() -> int:
    """As many for every contender as torch takes: OMP_NUM_THREADS decides for all."""
    return torch.get_num_threads()


def milliseconds(value: float) -> str:
    """``0.061 ms``, ``6.73 ms``, ``132 ms``: three digits."""
    return f"{value:.{2 if value >= 1 else 3}f} ms" if value < 100 else f"{value:,.0f} ms"


# --- the table of formats ------------------------------------------------------------------------


def benchmark(
    bundles: Sequence[Bundle], net: Callable[[], nn.Module], data: DataModule
) -> list[Measured]:
    """Measure exported nets beside the one in memory, and show the table.

    Args:
        bundles: of one run; those that cannot be run here (``mar``) are left out.
        net: makes the net in memory, as a command would: its time is the first row's load time.
        data: the run's, set up.

    Raises:
        BundleError: if a bundle is damaged, or what runs it is missing.
    """
    shown = [bundle for bundle in bundles if bundle.format != "mar"]
    contenders = [_of_bundle(_title(bundle), bundle) for bundle in shown]
    threads = _threads()
    say(f"benchmark: medians of interleaved rounds, {threads} thread{'s' * (threads > 1)} each ...")
    found = compare([_in_memory(net), *contenders], data)
    say(table([HEADING, *map(_cells, found)]))
    return found


HEADING = (
    "format", "size", "load", "batch 1", "batch 32", "samples/s", "accuracy", "difference",
)  # fmt: skip


def _cells(row: Measured) -> tuple[str, ...]:
    return (
        row.name,
        size(row.bytes),
        milliseconds(row.load_ms),
        milliseconds(row.batch_1_ms),
        milliseconds(row.batch_32_ms),
        f"{row.per_second:,.0f}",
        f"{row.accuracy:.4f}",
        f"{row.difference:.1e}",
    )


def compare(contenders: Sequence[Contender], data: DataModule) -> list[Measured]:
    """Measure nets on a run's data; the first is the one that the others are compared with."""
    split = judged_split(data)
    inputs, _ = next(labelled(data, split))
    return measure.compare(contenders, inputs, lambda: labelled(data, split))


def _title(bundle: Bundle) -> str:
    return (
        bundle.format if bundle.card.get("quantize", "none") == "none" else f"{bundle.format} int8"
    )


def _of_bundle(name: str, bundle: Bundle) -> Contender:
    def load() -> Runtime:
        return runtime(bundle, _threads(), trusted=[bundle.format])  # it was written just now

    return Contender(name, bundle.file.stat().st_size, load)


def _in_memory(net: Callable[[], nn.Module]) -> Contender:
    bytes_ = sum(tensor.nbytes for tensor in net().state_dict().values())
    return Contender("pytorch (eager)", bytes_, lambda: torch_runtime(net()))
