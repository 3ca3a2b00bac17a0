"""Mean and deviation over runs that differ by seed or fold."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import yaml

from burnish.runs.folder import RunFolder
from burnish.runs.grouping import repeats_table
from burnish.runs.groups import mean_and_deviation
from burnish.runs.listing import read
from launch import launch, result_of


def run(folder: Path, overrides: list[str], value: float | None, status: str = "finished") -> Path:
    folder.mkdir()
    (folder / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    best = {"monitor": "val/accuracy", "value": value, "epoch": 1}
    metrics = {} if value is None else {"test/accuracy": value - 0.1}
    RunFolder(folder).update_result(status=status, best=best, metrics=metrics)
    return folder


def test_runs_are_grouped_without_seed_and_fold(tmp_path):
    folders = [
        run(tmp_path / "0", ["data=digits", "model=mlp", "seed=1"], 0.8),
        run(tmp_path / "1", ["data=digits", "model=mlp", "seed=2", "+data.fold=1"], 0.9),
        run(tmp_path / "2", ["data=digits", "model=cnn", "seed=1"], 0.5),
        run(tmp_path / "3", ["data=digits", "model=cnn", "seed=2"], None, "failed"),
    ]
    heading, mlp, cnn = repeats_table([read(folder) for folder in folders])
    assert heading == ("runs of", "finished", "best val/accuracy", "test/accuracy")
    assert mlp == ("model=mlp", "2 of 2", "0.8500 ± 0.0707", "0.7500 ± 0.0707")
    assert cnn == ("model=cnn", "1 of 2", "0.5000", "0.4000")


def test_the_deviation_is_that_of_a_sample():
    values = [0.91, 0.94, 0.93, 0.9]
    assert mean_and_deviation(values) == f"0.9200 ± {statistics.stdev(values):.4f}"
    assert mean_and_deviation([0.5]) == "0.5000"
    assert mean_and_deviation([0.5, float("nan")]) == "nan"


def test_every_job_is_in_the_table_refused_ones_too(tmp_path):
    done = launch(
        "train", "-m", "model=mlp,simple_cnn", "scheduler=none,warmup_cosine", "trainer=cpu",
        "trainer.max_epochs=1", "data.limit=100", "logger=none", "test=false", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "warmup_epochs" in done.stderr
    assert "job 3: model=simple_cnn scheduler=warmup_cosine" in done.stderr
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    with (sweep / "summary.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    finished = {row[0]: row[1] for row in rows}
    assert finished == {
        "model=mlp scheduler=none": "1 of 1",
        "model=mlp scheduler=warmup_cosine": "0 of 1",
        "model=simple_cnn scheduler=none": "1 of 1",
        "model=simple_cnn scheduler=warmup_cosine": "0 of 1",
    }
    assert "warmup_epochs" in result_of(sweep / "1")["exception"]


def test_cross_validation_ends_with_the_table(tmp_path):
    done = launch(
        "train", "-m", "data.num_folds=3", "data.fold=0,1,2", "model=mlp", "trainer=cpu",
        "trainer.max_epochs=1", "logger=none", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (sweep,) = (tmp_path / "outputs" / "multirun").glob("*/*")
    results = [result_of(sweep / str(fold)) for fold in range(3)]
    best = [result["best"]["value"] for result in results]
    expected = f"{statistics.fmean(best):.4f} ± {statistics.stdev(best):.4f}"
    assert "mean ± standard deviation over 3 runs" in done.stdout
    assert expected in done.stdout
    with (sweep / "summary.csv").open(newline="") as file:
        _, row = csv.reader(file)
    assert row[:3] == ["all", "3 of 3", expected]
    splits = [set(RunFolder(sweep / str(f)).read_json("split")["val_indices"]) for f in range(3)]
    assert not splits[0] & splits[1]
    assert sorted(set.union(*splits)) == list(range(1438))
