"""The formats that need torch, or ExecuTorch, to be run: from a file to a function.

A TorchScript file is a program, and reading a torch.export file may run one: torch 2.14 unpickles
what it cannot read as plain tensors, and evaluates the sizes that are written in it. The hash in
``bundle.json`` is of no help, for whoever can change the one file can change the other. So these
two are loaded only if the environment says that they are trusted::

    BURNISH_TRUST=torchscript,torch_export burnish predict run=FOLDER input=...

ONNX and ExecuTorch files are data for an interpreter and need no such word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from burnish.deploy.runtime import Runtime
from burnish.errors import BundleError

TRUST = "BURNISH_TRUST"
PROGRAMS = ("torchscript", "torch_export")


def load(format: str, file: Path, *, trusted: bool = False) -> Runtime:
    """Load an exported net.

    Args:
        format: ``torchscript``, ``torch_export`` or ``executorch``.
        file: the net.
        trusted: whether this process wrote it; else the environment must trust the format.

    Raises:
        BundleError: if the file may run code and nobody trusts it, if it is damaged, or an extra is
            missing.
    """
    if format in PROGRAMS and not trusted and format not in os.environ.get(TRUST, "").split(","):
        raise BundleError(
            f"{file}: reading a {format} file can run code that it holds; if you trust where it "
            f"comes from, set {TRUST}={format} in the environment, or use its ONNX bundle"
        )
    if format == "torchscript":
        from burnish.deploy.formats.torchscript import load_torchscript

        return load_torchscript(file)
    if format == "torch_export":
        from burnish.deploy.formats.torch_export import load_torch_export

        return load_torch_export(file)
    from burnish.deploy.formats.executorch import load_executorch

    return load_executorch(file)


LOADERS: Mapping[str, Callable[[Path], Runtime]] = {
    format: partial(load, format) for format in (*PROGRAMS, "executorch")
}
