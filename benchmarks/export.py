"""Every net of conf/model as ONNX: verified, how large, how fast beside the net in memory.

    python benchmarks/export.py [NAME ...] [--threads 2]

For each net: the parameters, seconds that the export and its verification took, the file, the worst
difference of a logit (absolute, and relative to the largest of its row) at batch sizes 1, 2 and 7,
for texts at several lengths with padding, and the milliseconds of one input, eager and in
onnxruntime, on one thread each or as many as asked for, measured in turns in this process. Weights
are random, running statistics too, so that normalisation does something. Images are 32 x 32 RGB;
the timed text has 16 characters.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
import yaml
from torch import nn

from burnish.build import build_net
from burnish.commands.exporting import made_up
from burnish.config.paths import conf_dir
from burnish.deploy.loading import runtime
from burnish.deploy.making import Trained, make_bundle
from burnish.deploy.measure import latencies
from burnish.deploy.preprocess import preprocess
from burnish.deploy.runtime import torch_runtime
from burnish.runs.console import table
from burnish.spec import RESERVED, ImageSpec, Spec, TextSpec

CLASSES = tuple(f"class {i}" for i in range(10))
IMAGES = ImageSpec(3, 32, 32, CLASSES, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CHARACTERS = tuple(chr(0x4E00 + i) for i in range(2000))
TEXTS = TextSpec(CLASSES, "char", (*RESERVED, *CHARACTERS), 128)
OF_TEXTS = ("bag_of_embeddings", "bilstm", "text_cnn", "text_transformer")
HEADINGS = ("net", "parameters", "export s", "MB", "absolute", "relative", "eager ms", "ONNX ms",
            "times as fast")  # fmt: skip


def net_of(name: str, spec: Spec) -> nn.Module:
    """The net of a file in conf/model, its running statistics moved away from 0 and 1."""
    node = yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    torch.manual_seed(0)
    net = build_net({"model": node}, spec, pretrained=False).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return net


def measured(name: str, folder: Path, threads: int) -> list[str]:
    """One row of the table."""
    spec: Spec = TEXTS if name in OF_TEXTS else IMAGES
    net = net_of(name, spec)
    config = folder / "config.yaml"
    config.touch()
    sample = made_up(spec)
    started = time.perf_counter()
    bundle = make_bundle(Trained(net, spec, config, name, {}, sample), "onnx", folder / name)
    seconds = time.perf_counter() - started
    inputs = preprocess(spec).batch(sample[-1:])
    runs = {"eager": torch_runtime(net), "onnx": runtime(bundle, threads)}
    times = latencies(runs, inputs)
    figures = bundle.card["verification"]["batches"].values()
    return [
        name,
        f"{sum(p.numel() for p in net.parameters()):,}",
        f"{seconds:.1f}",
        f"{bundle.card['bytes'] / 1e6:.1f}",
        f"{max(f['absolute'] for f in figures):.1e}",
        f"{max(f['relative'] for f in figures):.1e}",
        f"{times['eager']:.2f}",
        f"{times['onnx']:.2f}",
        f"{times['eager'] / times['onnx']:.2f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--threads", type=int, default=1)  # then what else runs matters little
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = [HEADINGS, *(measured(n, Path(folder), given.threads) for n in given.names or known)]
    print(table(rows))


if __name__ == "__main__":
    main()
