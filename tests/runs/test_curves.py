from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest

from burnish.errors import RunError
from burnish.learner.csv_logger import MetricsCSV
from burnish.runs.curves import MOST_BYTES, Point, read_curves
from launch import imported_by


def log(folder: Path) -> MetricsCSV:
    """Two epochs of three steps, as a training logs them: sparse, columns appearing late."""
    logger = MetricsCSV(str(folder))
    logger.log_metrics({"lr-AdamW/decay": 0.1}, step=0)
    for epoch in range(2):
        last = 3 * epoch + 2
        logger.log_metrics({"train/loss_step": 4.0 - epoch}, step=last - 1)
        logger.log_metrics({"val/loss": 2.0 - epoch, "epoch": epoch}, step=last)
        logger.log_metrics({"train/loss": 3.0 - epoch, "epoch": epoch}, step=last)
    return logger


def test_what_was_logged_is_read_back(tmp_path):
    log(tmp_path)
    curves = read_curves(tmp_path)
    assert dict(curves) == {
        "lr-AdamW/decay": (Point(0, 0, 0.1),),
        "train/loss_step": (Point(0, 1, 4.0), Point(1, 4, 3.0)),
        "val/loss": (Point(0, 2, 2.0), Point(1, 5, 1.0)),
        "train/loss": (Point(0, 2, 3.0), Point(1, 5, 2.0)),
    }
    assert curves.rate == (Point(0, 0, 0.1),)
    assert curves.get("step", ()) == ()


def test_rows_of_an_epoch_that_has_not_ended_belong_to_the_next(tmp_path):
    log(tmp_path).log_metrics({"train/loss_step": 2.5}, step=7)
    assert read_curves(tmp_path)["train/loss_step"][-1] == Point(2, 7, 2.5)


def test_the_last_value_of_an_epoch_counts(tmp_path):
    logger = MetricsCSV(str(tmp_path))
    for step, epoch in ((1, 0), (2, 0), (4, 1)):
        logger.log_metrics({"val/loss": float(step), "epoch": epoch}, step=step)
    assert read_curves(tmp_path).epochs("val/loss") == (Point(0, 2, 2.0), Point(1, 4, 4.0))
    assert read_curves(tmp_path).epochs("other") == ()


@pytest.mark.parametrize("cut", ["8", "8,", "8,,1.2", "8,,,,,0.12"])
def test_a_line_that_is_being_written_is_left_out(tmp_path, cut):
    log(tmp_path)
    before = read_curves(tmp_path)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(cut)
    assert dict(read_curves(tmp_path)) == dict(before)


def test_later_rows_count_where_steps_go_back(tmp_path):
    text = "step,epoch,a\n0,0,1\n1,1,2\n2,2,3\n1,1,20\n2,2,30\n"
    (tmp_path / "metrics.csv").write_text(text)
    assert [p.value for p in read_curves(tmp_path)["a"]] == [1, 20, 30]


def test_what_is_no_number_is_left_out_and_what_is_not_finite_stays(tmp_path):
    rows = ["step,epoch,a,b", "0,0,nan,x", "1,1,-inf,1e400", "x,2,1,1", "nan,2,1,1", "-3,2,1,1",
            "3,,5", "4,inf,7,", "", "5,3,\0,8"]  # fmt: skip
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    curves = read_curves(tmp_path)
    assert math.isnan(curves["a"][0].value)
    assert curves["a"][1:] == (Point(1, 1, -math.inf), Point(3, 4, 7.0))
    assert curves["b"] == (Point(1, 1, math.inf), Point(3, 5, 8.0))


@pytest.mark.parametrize("content", ["", "\n", "step\n", "step,epoch,a\n"])
def test_a_file_without_values_has_no_curves(tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content)
    assert len(read_curves(tmp_path)) == 0


@pytest.mark.parametrize("content", ["nothing,here\n1,2\n", "\ufeffa\n\xff\n", "step,a,a\n0,1,2\n"])
def test_what_is_no_log_is_refused(tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(RunError, match="line 1 must name the columns"):
        read_curves(tmp_path)


def test_a_run_without_metrics_has_no_curves(tmp_path):
    assert dict(read_curves(tmp_path)) == {}
    assert read_curves(tmp_path).rate == ()


def test_links_pipes_and_folders_are_refused(tmp_path):
    for name in ("link", "nowhere", "pipe", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "link" / "metrics.csv").symlink_to(__file__)
    (tmp_path / "nowhere" / "metrics.csv").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe" / "metrics.csv")
    (tmp_path / "folder" / "metrics.csv").mkdir()
    for name in ("link", "nowhere", "pipe", "folder"):
        with pytest.raises(RunError, match="is no file"):
            read_curves(tmp_path / name)


def test_huge_files_and_fields_are_refused(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,a\n1," + "9" * 5000 + "\n")
    before = csv.field_size_limit(4000)
    try:
        with pytest.raises(RunError, match=r"metrics.csv: cannot be read"):
            read_curves(tmp_path)
    finally:
        csv.field_size_limit(before)
    os.truncate(path, MOST_BYTES + 1)  # takes no room on the disk
    with pytest.raises(RunError, match=r"holds 64,000,001 bytes, at most 64,000,000 are read"):
        read_curves(tmp_path)


def test_reading_needs_the_standard_library_alone(tmp_path):
    log(tmp_path)
    code = (
        "from pathlib import Path; from burnish.runs.curves import read_curves;"
        f"assert read_curves(Path({str(tmp_path)!r}))"
    )
    assert not {"torch", "numpy", "lightning", "matplotlib"} & imported_by(code)
