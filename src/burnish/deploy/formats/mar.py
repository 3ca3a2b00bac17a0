"""A TorchServe archive around an ONNX file.

TorchServe was archived in August 2025; the format stays for those who run it. The archive is a zip
that it unpacks and puts on Python's path: with the net and spec.json go a handler and the few
modules of burnish that preprocess, so that a request is read exactly as in evaluation. The server's
Python needs onnxruntime, NumPy and Pillow, and ``tokenizers`` for texts.
"""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from burnish.spec import Spec

PACKAGE = Path(__file__).parents[2]
HANDLER = Path(__file__).with_name("mar_handler.py")
# What preprocessing imports, and nothing else.
MODULES = ("errors.py", "spec.py", "data/decode.py", "data/tokenize.py", "deploy/preprocess.py")


def write_mar(onnx_file: Path, spec: Spec, file: Path, name: str, version: str) -> None:
    """Write the archive.

    Args:
        onnx_file: the net.
        spec: of its data.
        file: to write.
        name: under which TorchServe lists the model.
        version: of the model.
    """
    manifest = {
        "createdOn": datetime.now(UTC).strftime("%d/%m/%Y %H:%M:%S"),
        "runtime": "python",
        "model": {
            "modelName": name,
            "modelVersion": version,
            "serializedFile": "model.onnx",
            "handler": HANDLER.name,
        },
        "archiverVersion": "0.12.0",  # whose layout this is
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest, indent=2))
        archive.write(onnx_file, "model.onnx")
        archive.writestr("spec.json", json.dumps(spec.to_dict(), ensure_ascii=False))
        archive.write(HANDLER, HANDLER.name)
        for folder in ("", "data/", "deploy/"):
            archive.writestr(f"burnish/{folder}__init__.py", "")
        for module in MODULES:
            archive.write(PACKAGE / module, f"burnish/{module}")
