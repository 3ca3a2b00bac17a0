"""A diagnosis as a page and as JSON."""

from __future__ import annotations

import json
import math

from burnish.diagnosis.page import as_json, page, summary
from burnish.diagnosis.terminal import end, say
from burnish.diagnosis.verdict import Verdict, exit_code
from burnish.report.figures import bars

VERDICTS = [
    Verdict("labels", "broken", "<b>ants</b> only", "look \x1b[31m", {"counts": (1, 2)}),
    Verdict("one batch", "note", "slow", "wait", {"loss": math.nan, "by": {"a": [math.inf, 1.5]}},
            (("layer", "n"), *((f"layer {i}", i) for i in range(300)))),
    Verdict("inputs", "ok", "fine", "optimizer.lr=0.1",
            drawing=bars("title", ["a"], {"x": [1.0]}, "unit")),
]  # fmt: skip


def test_json_has_plain_numbers():
    written = json.dumps(as_json(VERDICTS), allow_nan=False)
    assert json.loads(written)["checks"][1]["values"] == {"loss": None, "by": {"a": [None, 1.5]}}
    assert as_json(VERDICTS)["summary"] == summary(VERDICTS) == "1 broken, 1 note, 1 ok"


def test_the_page_shows_everything_and_escapes_it(tmp_path):
    html = page("a <title>", "lead", VERDICTS).write(tmp_path).read_text(encoding="utf-8")
    assert "<b>ants</b>" not in html
    assert "&lt;b&gt;ants&lt;/b&gt; only" in html
    assert "layer 199" in html
    assert "layer 200" not in html
    assert "100 more are not shown" in html
    assert (tmp_path / "inputs.png").is_file()


def test_the_table_on_top_has_the_advice_and_shapes_stay_whole():
    rows = (("layer", "output"), ("conv", "16 x 8 x 8"), ("a x b", "nothing"))
    made = page("title", "", [*VERDICTS, Verdict("shapes", "ok", "fine", rows=rows)]).html()
    assert "<td>fine<small>optimizer.lr=0.1</small></td>" in made
    assert "<td>16\u00a0x\u00a08\u00a0x\u00a08</td>" in made
    assert "<td>a x b</td>" in made


def test_the_terminal_gets_no_control_characters_and_no_colours_in_a_pipe(capsys, tmp_path):
    for verdict in VERDICTS:
        say(verdict)
    end(VERDICTS, tmp_path / "index.html", 1.25)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.splitlines()[:2] == [
        "broken  labels         <b>ants</b> only",
        "                       look \\x1b[31m",
    ]
    assert "1 broken, 1 note, 1 ok in 1.2 s" in said


def test_only_broken_changes_the_exit_code():
    assert exit_code(VERDICTS) == 1
    assert exit_code(VERDICTS[1:]) == 0
