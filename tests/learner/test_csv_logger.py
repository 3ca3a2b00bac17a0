from __future__ import annotations

import csv
from pathlib import Path

import torch

from burnish.learner.csv_logger import MetricsCSV


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_on_disk_at_once_and_new_columns_keep_old_rows(tmp_path):
    logger = MetricsCSV(str(tmp_path))
    logger.log_metrics({"train/loss_step": torch.tensor(0.5)}, step=4)
    assert rows(tmp_path) == [{"step": "4", "train/loss_step": "0.5"}]
    logger.log_metrics({"val/loss": 0.25}, step=9)
    assert rows(tmp_path) == [
        {"step": "4", "train/loss_step": "0.5", "val/loss": ""},
        {"step": "9", "train/loss_step": "", "val/loss": "0.25"},
    ]


def test_a_resumed_run_goes_on_after_its_checkpoint(tmp_path):
    first = MetricsCSV(str(tmp_path))
    for step in (4, 9, 14):
        first.log_metrics({"a": step}, step=step)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("19,")  # a kill in the middle of a row
    second = MetricsCSV(str(tmp_path), resume_step=10)
    second.log_metrics({"a": 99}, step=14)
    assert [(r["step"], r["a"]) for r in rows(tmp_path)] == [
        ("4", "4.0"),
        ("9", "9.0"),
        ("14", "99.0"),
    ]


def test_a_new_run_does_not_inherit_rows(tmp_path):
    MetricsCSV(str(tmp_path)).log_metrics({"a": 1}, step=0)
    MetricsCSV(str(tmp_path)).log_metrics({"b": 2}, step=0)
    assert rows(tmp_path) == [{"step": "0", "b": "2.0"}]
