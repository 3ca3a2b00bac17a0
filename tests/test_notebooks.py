"""The code cells of every notebook run, one after another, in a fresh folder."""

from __future__ import annotations

import json

import pytest

from launch import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        assert not cell.get("outputs"), "notebooks are kept without outputs"
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}", "exec"), names)
    # What the notebook shows is what the run wrote down.
    metrics = names["run"].read_json("result")["metrics"]  # type: ignore[attr-defined]
    assert names["accuracy"] == pytest.approx(metrics["test/accuracy"])
