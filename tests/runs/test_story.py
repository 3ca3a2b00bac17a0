"""experiment.md: what it says, what it keeps, and that anybody's text is only text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from burnish.runs.listing import Run, read
from burnish.runs.origin import repeat_command
from burnish.runs.story import STORY, Story, write_story
from burnish.runs.tables import code, escaped


def run(folder: Path, typed: list[str], **result) -> Run:
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text(yaml.safe_dump(typed, allow_unicode=True))
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 0}))
    best = {"monitor": "val/accuracy", "value": 0.875, "epoch": 2}
    known = {
        "status": "finished", "began": "2026-01-31T12:00:00+00:00", "best": best, "seconds": 61.25,
        "metrics": {"test/accuracy": 0.75, "val/loss": 1.0}, "epochs": 4, "parameters": 50826,
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(known | result))
    return read(folder)


def told(one: Run, *args, **kwargs) -> str:
    write_story(one.path, Story(one, *args, **kwargs))
    return (one.path / STORY).read_text()


def test_it_says_what_was_done_and_what_came_of_it(tmp_path):
    origin = {
        "command": ["src/train.py"],
        "git": {"commit": "abc123", "diff": "+ x"},
        "data": {"class_counts": {"train": [600, 700], "val": [1], "odd": ["x"]}},
    }
    one = run(tmp_path / "12-00-00-digits-1a2b3c", ["model=mlp", "model.sizes=[9, 9]"])
    text = told(one, origin, [("optimizer.lr", 0.01, 0.001)], [("progress", "slow_er than *it*")])
    assert text.splitlines()[0] == "# 12-00-00-digits-1a2b3c"
    assert "Began 2026-01-31 12:00 UTC, **finished**." in text
    assert "\npython src/train.py model=mlp 'model.sizes=[9, 9]'\n" in text
    assert "Typed: `model=mlp`, `model.sizes=[9, 9]`." in text
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", text, re.MULTILINE)
    assert dict(rows) == {
        "not as by default": "here", ":--": "--:", "optimizer.lr": "0.01", "figure": "value",
        "best val/accuracy": "0.8750 in epoch 3", "test/accuracy": "0.7500", "epochs": "4",
        "seconds": "61.2", "parameters": "50,826", "samples": "1,300 train, 1 val",
        "commit": "abc123 with changes",
    }  # fmt: skip
    assert "- **progress**: slow_er than \\*it\\*" in text
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Configuration", "Results", "Observations", "Next step"]


def test_a_failure_is_told_in_a_line(tmp_path):
    one = run(tmp_path / "a", [], status="failed", exception="lost\nat *step* 2.", best=None)
    text = told(one, so_far=("val/f1", 0.5))
    assert ", **failed**: lost at \\*step\\* 2.\n" in text
    assert "| best val/f1 so far | 0.5000 |" in text


def test_what_a_person_wrote_stays(tmp_path):
    one = run(tmp_path / "a", [])
    told(one, observed=[("first", "version")])
    path = one.path / STORY
    mine = "## Next step\r\n\r\nA wider net \udce4.\n\n## More of mine\n\n## Next step\n\nagain"
    before = path.read_bytes().partition(b"## Next step")[0]
    path.write_bytes(before + mine.encode(errors="surrogateescape"))
    write_story(one.path, Story(one, observed=[("second", "version")]))
    written = path.read_bytes()
    assert written.endswith(mine.encode(errors="surrogateescape"))
    assert b"second" in written
    assert b"first" not in written
    assert not (one.path / "experiment.old.md").exists()


def test_a_file_without_the_heading_is_kept_beside(tmp_path):
    one = run(tmp_path / "a", [])
    (one.path / STORY).write_text("all mine")
    assert "## Next step" in told(one)
    assert (one.path / "experiment.old.md").read_text() == "all mine"


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    one = run(tmp_path / "a", [])
    (tmp_path / "mine.md").write_text("mine")
    (one.path / STORY).symlink_to(tmp_path / "mine.md")
    assert told(one).startswith("# a")
    assert (tmp_path / "mine.md").read_text() == "mine"


def test_anybody_s_texts_are_no_markup(tmp_path):
    evil = "\x1b[31m\n## Next step\n<script>|`*_x_"
    one = run(
        tmp_path / "a", [f"name='{evil}'", "x=```"], status="failed", exception=evil,
        best={"monitor": evil, "value": 1.0}, metrics={f"test/{evil}": 1.0},
    )  # fmt: skip
    origin = {"git": {"commit": evil}, "command": [evil]}
    text = told(one, origin, [(evil, evil, [evil])], [(evil, evil)])
    assert "\x1b" not in text
    outside = re.sub(r"```sh\n.*\n```\n|(`+) ?.+? ?\1(?!`)", "", text)
    assert "<script>" not in outside
    assert len(re.findall(r"^## Next step", text, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simple_cnn", "simple_cnn"), ("_x_", "\\_x\\_"), ("a|b", "a\\|b"), ("<b>&", "&lt;b>&amp;"),
        ("[1](x)", "\\[1\\](x)"), ("~~a~~", "\\~\\~a\\~\\~"),
    ],
)  # fmt: skip
def test_markup_is_escaped(text, expected):
    assert escaped(text) == expected


def test_code_ends_where_it_should():
    assert code("a") == "`a`"
    assert code("a`b") == "``a`b``"
    assert code("``x") == "``` ``x ```"


def test_the_command_repeats_what_was_typed(tmp_path):
    one = run(tmp_path / "a", ["name=a b"])
    assert repeat_command(one, {}) == "python src/train.py 'name=a b'"
    typed = ["/x/burnish", "train", "--config-dir", "my conf", "name=a b"]
    assert repeat_command(one, {"command": typed}) == (
        "burnish train --config-dir 'my conf' 'name=a b'"
    )
    assert repeat_command(one, {"command": [1, {}]}) == "python src/train.py 'name=a b'"
