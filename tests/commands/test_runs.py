"""burnish runs: what its verbs say, change and refuse, on folders written by hand."""

from __future__ import annotations

import csv
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from burnish.commands.runs import main
from burnish.errors import ConfigError, RunError

EVIL = "\x1b[31m<b>|red\nnext\ud800"


def run(folder: Path, typed: list[str], accuracy: float | None, **result) -> Path:
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text(yaml.safe_dump(typed, allow_unicode=True))
    config = {"seed": 0, "mode": "max", "data": {"_target_": "digits"}}
    parts = {"model": lambda name: {"_target_": f"nets.{name}"}, "seed": int}
    for key, _, value in (text.partition("=") for text in typed):
        config |= {key: parts[key](value)} if key in parts else {}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    best = {"monitor": "val/accuracy", "value": accuracy, "epoch": 2}
    metrics = {} if accuracy is None else {"test/accuracy": accuracy - 0.1, "test/loss": 0.5}
    known = {"status": "finished", "metrics": metrics, "best": best, "seconds": 2.0}
    (folder / "result.json").write_text(json.dumps(known | result))
    (folder / "provenance.json").write_text(
        json.dumps({"started": folder.name, "seed": 0, "git": {"commit": folder.name, "diff": ""}})
    )
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"x" * 1500)
    return folder


@pytest.fixture
def root(tmp_path):
    day = tmp_path / "train" / "day"
    run(day / "r-one", ["data=digits", "model=mlp", "seed=1"], 0.8)
    run(day / "r-two", ["data=digits", "model=mlp", "seed=2"], 0.9)
    run(day / "r-cnn", ["data=digits", "model=cnn"], 0.85)
    run(day / "r-bad", ["data=digits", "model=cnn", "seed=3"], None,
        status="failed", exception=EVIL)  # fmt: skip
    return tmp_path


def said(capsys, root, *argv: str, code: int = 0) -> str:
    assert main([*argv, "--root", str(root)]) == code
    return capsys.readouterr().out


def test_list_says_the_better_first_and_what_all_share(capsys, root):
    lines = said(capsys, root, "list", "--sort", "test/accuracy").splitlines()
    assert lines[0].split()[:5] == ["run", "status", "age", "best", "test/accuracy"]
    assert [line.split()[0][-3:] for line in lines[1:5]] == ["two", "cnn", "one", "bad"]
    assert lines[1].split()[-5:] == ["0.8000", "0.5000", "2.0", "model=mlp", "seed=2"]
    assert lines[5] == "all with data=digits"


def test_list_is_filtered_and_limited(capsys, root):
    text = said(capsys, root, "list", "--where", "model=mlp", "test/accuracy>0.75")
    assert [name for name in ("r-one", "r-two", "r-cnn", "r-bad") if name in text] == ["r-two"]
    text = said(capsys, root, "list", "--limit", "1")
    assert "and 3 more: --limit 0 shows all" in text
    text = said(capsys, root, "list", "--where", "test/accuracy>2")
    assert text == f"no such run below {root}\n"


def test_a_list_for_machines(capsys, root):
    argv = ["list", "--sort", "test/accuracy", "--where", "mode=max", "--format"]
    records = json.loads(said(capsys, root, *argv, "json"))
    assert [Path(one["run"]).name for one in records] == ["r-two", "r-cnn", "r-one", "r-bad"]
    first, last = records[0], records[-1]
    assert (first["status"], first["monitor"], first["best"]) == ("finished", "val/accuracy", 0.9)
    assert first["metrics"] == {"test/accuracy": 0.8, "test/loss": 0.5}
    assert first["values"] == {"test/accuracy": 0.8, "mode": "max"}
    assert first["overrides"] == ["data=digits", "model=mlp", "seed=2"]
    assert (last["best"], last["values"]["test/accuracy"]) == (None, None)
    rows = list(csv.DictReader(said(capsys, root, *argv, "csv").splitlines()))
    assert [row["test/accuracy"] for row in rows] == ["0.8", "0.75", "0.7000000000000001", ""]
    assert rows[0]["overrides"] == "data=digits model=mlp seed=2"
    assert json.loads(said(capsys, root, "list", "--where", "best>2", "--format", "json")) == []


def test_figures_that_are_none_are_null_in_json(capsys, root):
    run(root / "train/day/r-nan", [], float("nan"), metrics={"test/loss": float("inf")})
    (record,) = json.loads(said(capsys, root, "list", "--limit", "1", "--format", "json"),
                           parse_constant=pytest.fail)  # fmt: skip
    assert (record["best"], record["metrics"]) == (None, {"test/loss": None})


def test_an_empty_folder_says_so(capsys, tmp_path):
    assert said(capsys, tmp_path, "list") == f"no run below {tmp_path} yet\n"
    assert said(capsys, tmp_path, "table", code=1) == f"no run below {tmp_path} yet\n"
    assert said(capsys, tmp_path, "list", "--format", "json") == "[]\n"


def test_one_sweep_is_a_root_too(capsys, tmp_path):
    sweep = tmp_path / "multirun/2026-01-31/12-00-00 我的 sweep"
    for job in range(3):
        run(sweep / str(job), [f"seed={job}"], 0.5 + job / 10)
    (sweep / "notes").mkdir()
    text = said(capsys, sweep, "list")
    assert len(text.splitlines()) == 4
    assert "12-00-00 我的 sweep/2 " in text
    assert "0.6000 ± 0.1000" in said(capsys, sweep, "table")
    assert "seed=1" in said(capsys, tmp_path, "show", "我的 sweep/1")


def test_a_killed_run_is_shown_as_one(capsys, root):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    state = {"status": "running", "pid": process.pid, "host": platform.node()}
    run(root / "train/day/r-killed", [], None, **state)
    assert "status      killed: its process" in said(capsys, root, "show", "r-killed")
    assert "r-killed" in said(capsys, root, "list", "--where", "status=killed")
    assert "r-killed" not in said(capsys, root, "clean", "--keep", "1")


def test_skipped_folders_get_a_word(capsys, root):
    (root / "train" / "day" / f"half\x1b{1}").mkdir()
    assert main(["list", "--root", str(root)]) == 0
    err = capsys.readouterr().err
    assert "half\\x1b1: result.json cannot be read" in err
    assert "\x1b" not in err


def test_show_says_all_and_no_control_character(capsys, root):
    text = said(capsys, root, "show", "r-two")
    assert "val/accuracy 0.9000 in epoch 3" in text
    assert "python src/train.py data=digits model=mlp seed=2" in text
    assert "last.ckpt 1.5 kB" in text
    text = said(capsys, root, "show", "r-bad")
    assert "\\x1b[31m<b>|red\\nnext\\ud800" in text
    assert "\x1b" not in text


def test_a_hostile_run_is_text_everywhere(capsys, root):
    evil = "name='\x1b]0;x\x07|<b>'"
    run(root / "train/day/r-evil", [evil], 0.7, metrics={EVIL: 1.0, "test/\x1b\ud800": 0.5})
    argvs = [
        ["list"], ["show", "r-evil"], ["diff", "r-one", "r-evil"], ["table"], ["clean"],
        ["best", "--where", "best<0.75"], ["table", "--format", "csv", "--metric", EVIL],
        ["table", "--format", "text"], ["list", "--format", "csv"], ["list", "--format", "json"],
    ]  # fmt: skip
    for argv in argvs:
        text = said(capsys, root, *argv)
        assert not {"\x1b", "\x07", "\ud800"} & set(text), argv
        text.encode()


def test_diff_tells_only_what_differs(capsys, root):
    text = said(capsys, root, "diff", "r-one", "r-two")
    keys = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert keys == ["A", "seed", "A", "git.commit", "A", "metrics.test/accuracy", "best.value"]


def test_best_is_the_best_finished_run(capsys, root):
    assert "r-two" in said(capsys, root, "best", "--metric", "test/accuracy")
    assert "r-one" in said(capsys, root, "best", "--metric", "test/accuracy", "--mode", "min")
    text = said(capsys, root, "best", "--where", "model=cnn")
    assert text.startswith("val/accuracy 0.8500, of 1 finished runs")
    assert said(capsys, root, "best", "--where", "status=failed", code=1)


def test_table_in_each_form(capsys, root):
    rows = list(csv.reader(said(capsys, root, "table", "--format", "csv").splitlines()))
    assert rows[0] == ["runs of", "finished", "best val/accuracy", "test/accuracy", "test/loss"]
    by_name = {row[0]: row[1:3] for row in rows[1:]}
    assert by_name == {
        "model=mlp": ["2 of 2", "0.8500 ± 0.0707"], "model=cnn": ["1 of 2", "0.8500"],
    }  # fmt: skip
    assert "| model=mlp | 2 of 2 |" in said(capsys, root, "table")


def test_clean_is_dry_unless_told(capsys, root):
    def left() -> set[str]:
        return {path.parent.parent.name for path in root.rglob("*.ckpt")}

    text = said(capsys, root, "clean", "--keep", "1")
    assert "would remove 3 checkpoints of 3 runs: 4,500 bytes (4.5 kB)" in text
    assert left() == {"r-one", "r-two", "r-cnn", "r-bad"}
    assert "\nremoved 3" in said(capsys, root, "clean", "--keep", "1", "--yes")
    assert left() == {"r-two"}
    assert said(capsys, root, "clean", "--keep", "1", "--yes") == "nothing to remove\n"


def test_mistakes(root):
    with pytest.raises(RunError, match=r"--root: .*none does not exist"):
        main(["list", "--root", str(root / "none")])
    (root / "file").touch()
    with pytest.raises(RunError, match=r"--root: .*file is no folder"):
        main(["list", "--root", str(root / "file")])
    with pytest.raises(ConfigError, match="--keep"):
        main(["clean", "--keep", "0", "--root", str(root)])
    with pytest.raises(ConfigError, match="--limit"):
        main(["list", "--limit", "-1", "--root", str(root)])
    with pytest.raises(SystemExit):
        main([])


def test_nothing_heavy_is_imported(root):
    script = f"""
import sys
from burnish.commands.runs import main
for verb in ("list", "show r-one", "diff r-one r-two", "best", "table", "clean"):
    main([*verb.split(), "--root", {str(root)!r}])
heavy = {{"torch", "lightning", "hydra", "numpy", "matplotlib"}}
print(sorted(heavy & set(sys.modules)))
main(["log", "--root", {str(root)!r}])
print(sorted({{"torch", "lightning", "hydra"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert (lines[-3], lines[-1]) == ("[]", "[]"), done.stdout + done.stderr
