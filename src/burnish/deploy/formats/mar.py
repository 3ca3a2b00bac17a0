"""A TorchServe archive around an ONNX file.

TorchServe was archived in August 2025; the format stays for those who run it. The archive is a zip
that it unpacks and puts on Python's path: with the net and spec.json go a handler and the few
modules of burnish that preprocess, so that a request is read exactly as in evaluation. The server's
Python needs onnxruntime, NumPy and Pillow, and ``tokenizers`` for texts.
"""

from __future__ import annotations

import ast
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from burnish.spec import Spec

PACKAGE = Path(__file__).parents[2]
HANDLER = Path(__file__).with_name("mar_handler.py")


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
        modules = sorted(imported("deploy/preprocess.py"))
        for folder in sorted({parent for module in modules for parent in Path(module).parents}):
            archive.writestr(f"burnish/{folder / '__init__.py'}", "")
        for module in modules:
            archive.write(PACKAGE / module, f"burnish/{module}")


def imported(module: str) -> set[str]:
    """A module of burnish with all of burnish that it imports, as paths within the package."""
    found, todo = set(), [module]
    while todo:
        found.add(one := todo.pop())
        for node in ast.walk(ast.parse((PACKAGE / one).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("burnish."):
                path = f"{str(node.module).removeprefix('burnish.').replace('.', '/')}.py"
                todo += [path] if path not in found else []
    return found
