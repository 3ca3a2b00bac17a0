"""Write the golden losses anew:  PYTHONPATH=src:tests python tests/golden/regenerate.py"""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import torch

from commands.test_train import GOLDEN, run_tiny

torch.set_num_threads(1)
for name, overrides in GOLDEN.items():
    folder = Path(tempfile.mkdtemp()) / name
    run = run_tiny(folder, *overrides, "trainer.log_every_n_steps=1")
    with (run.path / "metrics.csv").open(newline="") as file:
        rows = csv.DictReader(file)
        losses = [float(r["train/loss_step"]) for r in rows if r.get("train/loss_step")]
    (Path(__file__).parent / f"{name}.json").write_text(json.dumps(losses, indent=1) + "\n")
