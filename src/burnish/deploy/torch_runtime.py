"""The formats that need torch, or ExecuTorch, to be run: from a file to a function.

A TorchScript file is a program, and reading a torch.export file may run one: torch 2.14 unpickles
what it cannot read as plain tensors, and evaluates the sizes that are written in it. The hash in
``bundle.json`` is of no help, for whoever can change the one file can change the other. So these
two are loaded only if the command line says that they are trusted::

    burnish predict run=FOLDER input=... trust=[torchscript]

ONNX and ExecuTorch files are data for an interpreter and need no such word.
"""

from __future__ import annotations

from pathlib import Path

from burnish.deploy.runtime import Runtime
from burnish.errors import BundleError

PROGRAMS = ("torchscript", "torch_export")


def load(format: str, file: Path, *, trusted: bool = False) -> Runtime:
    """Load an exported net.

    Args:
        format: ``torchscript``, ``torch_export`` or ``executorch``.
        file: the net.
        trusted: whether this process wrote it, or its user trusts the format.

    Raises:
        BundleError: if the file may run code and nobody trusts it, if it is damaged, of a format
            for other servers, or an extra is missing.
    """
    if format in PROGRAMS and not trusted:
        raise BundleError(
            f"{file}: reading a {format} file can run code that it holds; if you trust where it "
            f"comes from, add trust=[{format}], or use the ONNX bundle"
        )
    if format == "torchscript":
        from burnish.deploy.formats.torchscript import load_torchscript

        return load_torchscript(file)
    if format == "torch_export":
        from burnish.deploy.formats.torch_export import load_torch_export

        return load_torch_export(file)
    if format == "executorch":
        from burnish.deploy.formats.executorch import load_executorch

        return load_executorch(file)
    raise BundleError(f"{file.parent}: the format {format} is for other servers")
