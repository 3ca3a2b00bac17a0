from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from burnish.errors import RunError
from burnish.runs.folder import RunFolder, find_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.write_yaml("config", {"seed": 0, "name": "数字"})
    return folder


def test_config_round_trip_keeps_any_script(run):
    assert run.read_config() == {"seed": 0, "name": "数字"}


def test_a_run_is_found_by_folder_checkpoints_and_checkpoint(run):
    (run.checkpoints / "best.ckpt").touch()
    assert find_run(str(run.path)) == (run, None)
    assert find_run(str(run.checkpoints)) == (run, None)
    best = run.checkpoints / "best.ckpt"
    assert find_run(str(best)) == (run, best)


def test_what_is_no_run_says_what_was_found(run, tmp_path):
    with pytest.raises(RunError, match=r"run: .*nowhere does not exist; .* holds run"):
        find_run(str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match=r"resume: .* holds no config.yaml"):
        find_run(str(tmp_path), "resume")
    (tmp_path / "x.txt").touch()
    with pytest.raises(RunError, match="neither a run folder nor a checkpoint"):
        find_run(str(tmp_path / "x.txt"))
    (run.checkpoints / "best.ckpt").touch()
    with pytest.raises(RunError, match=r"last.ckpt: does not exist; this run has best.ckpt"):
        run.checkpoint("last")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not plain YAML"),
        ("- 1", "expected a mapping"),
        ("a: {b: ['${oc.env:HOME}']}", r"a.b.0: \$\{oc.env:HOME\} is an interpolation"),
        ("a: !!python/object/apply:os.system ['touch /tmp/never']", "not plain YAML"),
    ],
)
def test_a_config_that_was_tampered_with_is_refused(run, text, message):
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=message):
        run.read_config()


def test_results_are_merged(run):
    run.update_result(status="running", metrics={"val/loss": 1.0})
    run.update_result(status="finished", metrics={"test/loss": 2.0})
    assert run.read_json("result") == {
        "status": "finished",
        "metrics": {"val/loss": 1.0, "test/loss": 2.0},
    }


def _write_many(folder: Path) -> None:
    for i in range(300):
        RunFolder(folder).write_json("result", {"metrics": {str(k): i for k in range(200)}})


def test_readers_never_see_half_a_file(run):
    run.write_json("result", {"metrics": {}})
    writer = multiprocessing.get_context("spawn").Process(target=_write_many, args=(run.path,))
    writer.start()
    while writer.is_alive():
        run.read_json("result")  # raises if what it reads is not whole
    writer.join()
    assert writer.exitcode == 0
    assert run.read_json("result")["metrics"]["0"] == 299
    assert [p.name for p in run.path.iterdir() if "partial" in p.name] == []
