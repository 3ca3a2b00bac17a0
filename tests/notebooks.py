"""Runs notebooks in a clean kernel; ``make notebooks`` keeps their outputs in the files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from launch import ROOT, environment

FOLDER = ROOT / "notebooks"


def executed(path: Path, folder: Path, checks: str = "") -> NotebookNode:
    """The notebook with fresh outputs.

    Args:
        path: of the ``.ipynb``.
        folder: where it runs.
        checks: code that is run behind the last cell.

    Raises:
        CellExecutionError: naming the cell that failed, with its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    if checks:
        notebook.cells.append(nbformat.v4.new_code_cell(checks))
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=180,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**environment(), "PYTHONPATH": str(ROOT / "src")})
    return notebook


def main(names: Sequence[str]) -> None:
    """Execute the named notebooks, or all, and keep what they show."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            with TemporaryDirectory() as folder:
                nbformat.write(_joined(executed(path, Path(folder))), path)
            print(path.relative_to(ROOT))


def _joined(notebook: NotebookNode) -> NotebookNode:
    """One stream a cell, not one a printed line."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            together: list[NotebookNode] = []
            for output in cell.outputs:
                last = together[-1] if together else None
                if last is not None and output.output_type == last.output_type == "stream":
                    last.text += output.text
                else:
                    together.append(output)
            cell.outputs = together
    return notebook


if __name__ == "__main__":
    main(sys.argv[1:])
