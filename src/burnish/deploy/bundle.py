"""A bundle: one folder with a trained net in a portable format and all that is needed to use it.

model.onnx (or another format)   the net: from normalised images or token ids to logits
spec.json        what inputs are: preprocessing, class names, vocabulary
bundle.json      format, hash, versions, source run, what was measured when it was made
sample.npz       inputs with the logits that they must give
reference.json   how confident the net was and what its inputs were like, for drift
weights.safetensors   the weights by name          config.yaml   the run's configuration

``bundle.json`` is written last: a folder without it is no bundle. Works without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import BundleError, RunError
from burnish.runs.folder import RunFolder
from burnish.spec import Spec, TextSpec, spec_from_dict

VERSION = 1
FILES = {
    "onnx": "model.onnx",
    "torchscript": "model.ts",
    "torch_export": "model.pt2",
    "executorch": "model.pte",
    "mar": "model.mar",
}
# Where a run keeps its bundles.
EXPORTS = "export"


@dataclass(frozen=True)
class Sample:
    """Inputs as they were before preprocessing, and what the net says of them.

    Args:
        inputs: uint8 ``[N, C, H, W]`` of the spec's size, or N texts.
        logits: float32 ``[N, K]``.
    """

    inputs: NDArray[Any]
    logits: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write it, compressed."""
        np.savez_compressed(path, inputs=self.inputs, logits=self.logits)

    @property
    def items(self) -> list[Any]:
        """The inputs as :meth:`~burnish.deploy.preprocess.Pictures.batch` takes them."""
        return list(self.inputs) if self.inputs.dtype == np.uint8 else self.inputs.tolist()


@dataclass(frozen=True)
class Bundle:
    """An exported net.

    Args:
        path: the folder.
        card: what ``bundle.json`` says.
    """

    path: Path
    card: Mapping[str, Any]

    @property
    def format(self) -> str:
        """A key of :data:`FILES`."""
        return str(self.card["format"])

    @property
    def file(self) -> Path:
        """The net."""
        return self.path / FILES[self.format]

    @property
    def name(self) -> str:
        """Of the run it was made from."""
        return str(self.card.get("name", self.path.name))

    @property
    def version(self) -> str:
        """Changes whenever the net does: the beginning of its file's hash."""
        return str(self.card["sha256"])[:12]

    @cached_property
    def spec(self) -> Spec:
        """What inputs are.

        Raises:
            BundleError: if the file is damaged.
        """
        try:
            return spec_from_dict(RunFolder(self.path).read_json("spec"))
        except RunError as error:
            raise BundleError(f"{self.path / 'spec.json'}: {error}") from error

    @cached_property
    def sample(self) -> Sample:
        """Inputs with the logits that they must give.

        Raises:
            BundleError: if the file is damaged.
        """
        path = self.path / "sample.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = Sample(arrays["inputs"], arrays["logits"])
        except Exception as error:  # of zipfile, zlib, NumPy's parser
            raise BundleError(f"{path}: cannot be read ({error})") from error
        kind = "U" if isinstance(self.spec, TextSpec) else "u"
        logits = found.logits
        fits = logits.dtype == np.float32 and logits.shape == (len(logits), self.spec.num_classes)
        if found.inputs.dtype.kind != kind or not (fits and len(found.inputs) == len(logits) > 0):
            raise BundleError(f"{path}: does not hold inputs of this bundle's kind with logits")
        return found

    def reference(self) -> dict[str, Any] | None:
        """What was measured for drift; None if the bundle was made without."""
        if not (self.path / "reference.json").is_file():
            return None
        return RunFolder(self.path).read_json("reference")

    def verify_hash(self) -> None:
        """Compare the net with what ``bundle.json`` was written for.

        Raises:
            BundleError: if it is missing or another.
        """
        if not self.file.is_file():
            raise BundleError(f"{self.file}: is missing; export again")
        if sha256(self.file) != self.card["sha256"]:
            raise BundleError(
                f"{self.file}: is not the file that bundle.json was written for; export again"
            )


def foreign_names(path: Path) -> list[str]:
    """What lies in a folder that neither an export nor an evaluation of its bundle put there."""
    own = {
        *FILES.values(), "spec.json", "bundle.json", "sample.npz", "reference.json",
        "weights.safetensors", "config.yaml", "eval.log",
    }  # fmt: skip
    names = sorted(entry.name for entry in path.iterdir())
    return [name for name in names if name not in own and not name.startswith(("eval-", "report"))]


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle."""
    return (path / "bundle.json").is_file()


def read_bundle(path: Path) -> Bundle:
    """Open a bundle; the net itself is not loaded.

    Raises:
        BundleError: if the folder is no bundle of a version known here.
    """
    try:
        card = RunFolder(path).read_json("bundle")
    except RunError as error:
        raise BundleError(str(error)) from error
    version, format = card.get("burnish_bundle"), card.get("format")
    known = type(version) is int and version == VERSION
    known = known and isinstance(format, str) and format in FILES
    if not known or not isinstance(card.get("sha256"), str):
        raise BundleError(
            f"{path / 'bundle.json'}: is no bundle of version {VERSION} with one of the formats "
            f"{', '.join(FILES)}"
        )
    return Bundle(path, card)


def write_card(path: Path, format: str, card: Mapping[str, Any]) -> Bundle:
    """Write ``bundle.json``, which makes the folder a bundle.

    Args:
        path: the folder, with the net in it.
        format: a key of :data:`FILES`.
        card: what else it shall say.
    """
    file = path / FILES[format]
    known = {
        "burnish_bundle": VERSION,
        "format": format,
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": sha256(file),
    }
    text = json.dumps({**known, **card}, indent=2, ensure_ascii=False)
    (path / "bundle.json").write_text(text + "\n", encoding="utf-8")
    return read_bundle(path)


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
