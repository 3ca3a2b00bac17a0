"""What ONNX and int8 give: size, speed and accuracy beside the net in eager PyTorch, on real runs.

    OMP_NUM_THREADS=1 python benchmarks/int8.py RUN ...

For each run: export to ONNX, quantize (static for nets of images, dynamic for texts), and one
table of all three, measured side by side in one process in interleaved rounds, medians, each with
as many threads as OMP_NUM_THREADS says. Accuracy is on the whole test split. The data must lie
where the run found it. The run folders stay as they are.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from burnish.commands.exporting import data_of, trained
from burnish.commands.measuring import benchmark, calibration
from burnish.commands.opened import open_run
from burnish.commands.quiet import quiet
from burnish.deploy.making import make_bundle, make_quantized
from burnish.runs.console import open_log, say
from burnish.spec import TextSpec


def table_of(location: str) -> None:
    """Export one run, quantize, and print its table."""
    opened = open_run(location)
    data, reason = data_of(opened, {})
    if data is None:
        sys.exit(reason)
    method = "dynamic" if isinstance(data.spec, TextSpec) else "static"
    say(f"\n{opened.run.path.name}: {opened.config['model']['_target_']}, {method} int8")
    with tempfile.TemporaryDirectory() as scratch:
        plain = make_bundle(trained(opened, data), "onnx", Path(scratch, "onnx"))
        int8 = make_quantized(plain, method, Path(scratch, "onnx-int8"), calibration(data))
        eager, onnx, small = benchmark([plain, int8], lambda: opened.net()[0], data)
    say(
        f"  batch 1: onnx {eager.batch_1_ms / onnx.batch_1_ms:.2f} times as fast as eager, int8 "
        f"{eager.batch_1_ms / small.batch_1_ms:.2f} times; int8 is {onnx.bytes / small.bytes:.1f} "
        f"times smaller and loses {onnx.accuracy - small.accuracy:+.4f} of accuracy"
    )


if __name__ == "__main__":
    quiet()
    open_log(None)
    for run in sys.argv[1:] or sys.exit(__doc__):
        table_of(run)
