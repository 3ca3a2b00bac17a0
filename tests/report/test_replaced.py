"""A report is replaced as a whole, or stays as it was."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from burnish.commands.reporting import replaced


@pytest.fixture
def report(tmp_path) -> Path:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "index.html").write_text("old")
    (folder / "mistake-9.jpg").write_text("of more pictures")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_new_one_takes_its_place(report):
    with replaced(report) as fresh:
        (fresh / "index.html").write_text("new")
        assert contents(report)["index.html"] == "old"
    assert contents(report) == {"index.html": "new"}
    assert [*report.parent.iterdir()] == [report]


def test_the_first_one_needs_none_before(tmp_path):
    with replaced(tmp_path / "report") as fresh:
        (fresh / "index.html").write_text("new")
    assert contents(tmp_path / "report") == {"index.html": "new"}
    assert [*tmp_path.iterdir()] == [tmp_path / "report"]


@pytest.mark.parametrize(
    "failure", [OSError(errno.EFBIG, "File too large"), KeyboardInterrupt(), ValueError("a bug")]
)
def test_a_failure_leaves_the_old_one_and_no_litter(report, failure):
    before = contents(report)

    def write() -> None:
        with replaced(report) as fresh:
            (fresh / "index.html").write_text("ne")
            raise failure

    with pytest.raises(type(failure)) as raised:
        write()
    assert contents(report) == before
    assert [*report.parent.iterdir()] == [report]
    if isinstance(failure, OSError):
        assert raised.value.filename == str(report)
