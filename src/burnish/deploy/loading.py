"""From a bundle to a function, whatever its format.

A TorchScript file is a program, and reading a torch.export file may run one: torch 2.14 unpickles
what it cannot read as plain tensors, and evaluates the sizes that are written in it. The hash in
``bundle.json`` is of no help, for whoever can change the one file can change the other. So these
two are loaded only if the command line says that they are trusted::

    burnish predict run=FOLDER input=... trust=[torchscript]

ONNX and ExecuTorch files are data for an interpreter and need no such word.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from burnish.deploy.bundle import Bundle
from burnish.deploy.preprocess import Inputs
from burnish.deploy.runtime import Logits, Runtime, onnx_runtime
from burnish.errors import BundleError

PROGRAMS = ("torchscript", "torch_export")


def runtime(bundle: Bundle, threads: int | None = None, trusted: Sequence[str] = ()) -> Runtime:
    """Load a bundle's net.

    Args:
        bundle: whose hash is compared first.
        threads: that share one batch; None: one a core.
        trusted: formats whose files may run code, see above.

    Raises:
        BundleError: if the file is damaged or not trusted, its format cannot be run here, or an
            extra is missing.
    """
    bundle.verify_hash()
    if bundle.format == "onnx":
        run = onnx_runtime(bundle, threads)
    else:
        run = load(bundle.format, bundle.file, trusted=bundle.format in trusted)
    return _as_described(bundle, run)


def _as_described(bundle: Bundle, run: Runtime) -> Runtime:
    """The same, refusing answers that do not fit the bundle's spec: the net may be another's."""
    classes = bundle.spec.num_classes

    def checked(inputs: Inputs) -> Logits:
        try:
            logits = run(inputs)
        except Exception as error:  # each runtime has errors of its own
            reason = str(error).strip().partition("\n")[0]
            raise BundleError(
                f"{bundle.file}: fails for inputs {list(inputs.shape)}, as spec.json describes "
                f"them ({reason})"
            ) from error
        if logits.shape != (len(inputs), classes):
            raise BundleError(
                f"{bundle.file}: answers {list(logits.shape)} to {len(inputs)} inputs; spec.json "
                f"has {classes} classes"
            )
        return logits

    return checked


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
