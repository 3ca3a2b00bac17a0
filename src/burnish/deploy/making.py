"""Making a bundle: export, verify against the net in memory, write down what it is, put in place.

A bundle is made under another name beside its place and moved there when it is whole, so that a
reader finds the old one or the new one, and a failed export leaves nothing.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.deploy.bundle import (
    FILES,
    Bundle,
    Sample,
    foreign_names,
    is_bundle,
    read_bundle,
    write_card,
)  # fmt: skip
from burnish.deploy.predictor import Predictor
from burnish.deploy.preprocess import Inputs, preprocess
from burnish.deploy.runtime import Runtime, onnx_runtime, torch_runtime
from burnish.deploy.verify import Differs, verify
from burnish.deploy.watch.reference import make_reference
from burnish.errors import BundleError
from burnish.runs.folder import RunFolder
from burnish.runs.provenance import versions
from burnish.spec import Spec

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("burnish", "torch", "onnx", "onnxscript", "onnxruntime", "executorch", "numpy")
# No export takes that long without writing a file: what is older was left by a killed one.
LEFT_BEHIND_SECONDS = 3600

Items = Callable[[], Iterable[Any]]
# From a bundle's predictor to what shall stand under "measured"; refuses by raising.
Measure = Callable[[Predictor], Mapping[str, Any]]


@dataclass(frozen=True)
class Trained:
    """A trained net and what a bundle says of it.

    Args:
        net: on the CPU, in evaluation mode.
        spec: of its data.
        config: ``config.yaml`` of its run.
        name: of its run.
        source: where it came from: run, checkpoint, the checkpoint's hash.
        sample: a few inputs of ``preprocess.read``, kept in the bundle.
        validation: many, that the net was not trained on, for the drift reference; None: no data.
    """

    net: nn.Module
    spec: Spec
    config: Path
    name: str
    source: Mapping[str, Any]
    sample: Sequence[Any]
    validation: Items | None = None


def make_bundle(trained: Trained, format: str, target: Path) -> Bundle:
    """Export a net.

    Args:
        trained: the net.
        format: ``onnx``, ``torchscript``, ``torch_export`` or ``executorch``.
        target: the bundle's folder; an older bundle there is replaced.

    Raises:
        BundleError: if the format cannot hold the net, computes something else
            (:class:`~burnish.deploy.verify.Differs`), or an extra is missing.
    """
    expected = torch_runtime(trained.net)
    with staged(target) as folder:
        file = folder / FILES[format]
        write_net(trained, format, file)
        run = _loaded(format, folder)
        verification = verify(run, expected, trained.spec, trained.sample)
        RunFolder(folder).write_json("spec", trained.spec.to_dict())
        shutil.copyfile(trained.config, folder / "config.yaml")
        _write_weights(trained.net, folder / "weights.safetensors")
        inputs = np.array(trained.sample)
        expected_logits = expected(preprocess(trained.spec).batch(trained.sample))
        Sample(inputs, expected_logits).save(folder / "sample.npz")
        # By the net in memory: it was just shown to agree, and some runtimes are slow.
        _write_reference(Predictor(trained.spec, expected), trained.validation, folder)
        card = {
            "name": trained.name,
            "created": _now(),
            "quantize": "none",
            "source": dict(trained.source),
            "versions": versions(PACKAGES),
            "verification": verification,
        }
        write_card(folder, format, card)
    return read_bundle(target)


def make_quantized(
    base: Bundle,
    method: str,
    target: Path,
    calibration: Iterable[Inputs],
    validation: Items | None = None,
    measure: Measure | None = None,
) -> Bundle:
    """Make an int8 bundle of one in floats.

    Args:
        base: an ONNX bundle.
        method: ``dynamic`` or ``static``.
        target: the bundle's folder.
        calibration: preprocessed training samples, for ``static``.
        validation: see :class:`Trained`.
        measure: what to find out about it before it is put in place.

    Raises:
        BundleError: if the method does not suit the net, or its logits are not finite.
    """
    from burnish.deploy.quantize import quantize

    base.verify_hash()
    with staged(target) as folder:
        _copy(base, folder, ("spec.json", "config.yaml", "weights.safetensors"))
        quantize(base.file, folder / FILES["onnx"], method, calibration)
        run = _loaded("onnx", folder)
        logits = run(preprocess(base.spec).batch(base.sample.items))
        if not np.isfinite(logits).all():
            raise Differs(f"quantize: {method} int8 gives logits that are not finite")
        Sample(base.sample.inputs, logits).save(folder / "sample.npz")
        predictor = Predictor(base.spec, run, base.name)
        _write_reference(predictor, validation, folder)
        worst = float(np.abs(logits - base.sample.logits).max())
        card = {
            **_facts(base),
            "quantize": method,
            "verification": {
                **base.card.get("verification", {}),
                "of": "the net in floats, before it was quantized",
                "int8_absolute": float(f"{worst:.3g}"),
            },
            **({"measured": dict(measure(predictor))} if measure else {}),
        }
        write_card(folder, "onnx", card)
    return read_bundle(target)


def make_archive(base: Bundle, target: Path) -> Bundle:
    """Make the TorchServe archive of an ONNX bundle; it computes what that does."""
    from burnish.deploy.formats.mar import write_mar

    base.verify_hash()
    with staged(target) as folder:
        _copy(base, folder, ("spec.json", "config.yaml", "weights.safetensors", "sample.npz"))
        if base.reference() is not None:
            _copy(base, folder, ("reference.json",))
        write_mar(base.file, base.spec, folder / FILES["mar"], base.name, base.version)
        kept = ("quantize", "verification", "measured")
        write_card(
            folder, "mar", {**_facts(base), **{k: base.card[k] for k in kept & base.card.keys()}}
        )
    return read_bundle(target)


def write_net(trained: Trained, format: str, file: Path) -> None:
    """Write the net alone in one of the formats of :func:`make_bundle`."""
    net, spec = trained.net, trained.spec
    if format == "onnx":
        from burnish.deploy.formats.onnx import write_onnx

        write_onnx(net, spec, file, _metadata(trained))
    elif format == "torchscript":
        from burnish.deploy.formats.torchscript import write_torchscript

        write_torchscript(net, spec, file)
    elif format == "torch_export":
        from burnish.deploy.formats.torch_export import write_torch_export

        write_torch_export(net, spec, file)
    else:
        from burnish.deploy.formats.executorch import write_executorch

        write_executorch(net, spec, file)


def check_place(target: Path) -> None:
    """Whether a bundle may take this place: nothing but a bundle is ever replaced.

    Raises:
        BundleError: if something else is there, or lies in the bundle that is.
    """
    occupied = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if target.is_symlink() or (occupied and not is_bundle(target)):
        raise BundleError(f"output: {target} exists and is no bundle; name another folder")
    if occupied and (others := foreign_names(target)):
        raise BundleError(
            f"output: {target / others[0]} is none of a bundle's files, and would be lost; move it "
            "away, or name another folder"
        )


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``target`` if all goes well, and else disappears.

    Raises:
        BundleError: if something else than a bundle is there.
    """
    check_place(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    new, old = (_beside(target) for _ in range(2))
    new.mkdir()
    try:
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


def _sweep(target: Path) -> None:
    """Remove what killed exports left."""
    for left in target.parent.glob(f".{target.name}.????????.partial"):
        if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _loaded(format: str, folder: Path) -> Runtime:
    if format == "onnx":
        return onnx_runtime(Bundle(folder, {"format": format}))
    from burnish.deploy.loading import load

    return load(format, folder / FILES[format], trusted=True)


def _write_weights(net: nn.Module, file: Path) -> None:
    from safetensors.torch import save

    # Copies: the file may not hold tensors that share memory, or that are laid out otherwise.
    tensors = {k: v.contiguous().clone() for k, v in net.state_dict().items()}
    file.write_bytes(save(tensors))  # save_file makes a file that its owner alone can read


def _write_reference(predictor: Predictor, items: Items | None, folder: Path) -> None:
    if items is not None:
        RunFolder(folder).write_json("reference", make_reference(predictor, items()))


def _metadata(trained: Trained) -> dict[str, str]:
    spec = trained.spec.to_dict()
    return {
        "burnish": versions(PACKAGES).get("burnish", ""),
        "run": trained.name,
        "spec": json.dumps(spec, ensure_ascii=False),
        "class_names": json.dumps(spec["class_names"], ensure_ascii=False),
    }


def _facts(base: Bundle) -> dict[str, Any]:
    facts = {"name": base.name, "created": _now(), "source": base.card.get("source", {})}
    return {**facts, "versions": versions(PACKAGES), "made_from": base.card["sha256"]}


def _copy(base: Bundle, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if (base.path / name).is_file():
            shutil.copyfile(base.path / name, folder / name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
