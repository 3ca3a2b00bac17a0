"""The verb: what it prints, as JSON, as a page, and its exit codes."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from burnish.commands.watch import main
from burnish.deploy.bundle import Bundle, write_card
from burnish.deploy.watch.log import Row, append, label, open_log
from burnish.deploy.watch.page import _clock
from burnish.errors import BundleError, ConfigError, DataError
from burnish.runs.folder import RunFolder
from burnish.spec import ImageSpec
from launch import imported_by

SPEC = ImageSpec(1, 4, 4, ("cat", "dog", "\x1b[31m<b>"), (0.5,), (0.5,))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """With a reference of 600 inputs; nobody computes with its net."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"net")
    (folder / "spec.json").write_text(json.dumps(SPEC.to_dict()))
    rng = np.random.default_rng(0)
    content = {"samples": 600, "split": "val", "confidence": rng.uniform(0.4, 1, 600).tolist(),
               "classes": {"cat": 300, "dog": 300, SPEC.class_names[2]: 0},
               "statistics": {"brightness": rng.normal(0.5, 0.1, 600).tolist()}}  # fmt: skip
    RunFolder(folder).write_json("reference", content)
    return write_card(folder, "onnx", {"name": "pets\x1b[2J"})


def write_log(path: Path, bundle: Bundle, bright: float = 0.5, others: int = 0) -> Path:
    """200 predictions, one every ten seconds, 100 then 100 as bright as asked; feedback on 50."""
    rng = np.random.default_rng(1)
    start = time.time() - 2000
    rows = [
        Row(f"r{i}", start + 10 * i, bundle.version, f"h{i}", SPEC.class_names[i % 2],
            float(rng.uniform(0.4, 1)), float(i),
            {"brightness": float(rng.normal(bright if i >= 100 else 0.5, 0.1))})
        for i in range(200)
    ]  # fmt: skip
    rows += [Row("o", start, "other", "h", "cat", 0.5, 1.0, {})] * others
    with closing(open_log(path)) as connection:
        append(connection, rows, 1000, 10**7)
        for i in range(50):
            label(connection, f"r{i}", "cat" if i < 40 else "dog", start)
    return path


def watched(capsys, *words: object) -> tuple[int, str]:
    code = main([str(word) for word in words])
    return code, capsys.readouterr().out


def test_silent_and_0_on_traffic_like_the_reference(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle, others=3)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 100)
    assert code == 0
    assert "no drift found" in out
    assert "200 from" in out
    assert "3 more of other versions are left out" in out
    assert "p50 99.5 ms, p90 179.1 ms, p99 197.0 ms" in out
    # Of 50 with feedback those with even i are "cat", the others "dog": 20 + 5 are right.
    interval = binomtest(25, 50).proportion_ci(method="wilson")
    assert f"50.0 % of 50 with feedback (95 %: {100 * interval.low:.1f} to" in out
    assert re.search(r"cat +100 +50\.0 % +50\.0 % +40 +50\.0 %", out)
    assert "\x1b" not in out


def test_3_and_since_when_on_drift(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle, bright=0.7)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 50)
    began = time.strftime("%H:%M", time.localtime(time.time() - 1000))
    assert code == 3
    assert re.search(r"DRIFT: brightness since the window of \S*\s?\d\d:\d\d\n", out)
    assert began in out or time.strftime("%H:%M", time.localtime(time.time() - 1005)) in out
    assert "PSI is shown for windows of 500 and more" in out


def test_json_has_everything(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle, bright=0.7)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 50, "--json",
                        "--min-confidence", 0.6)  # fmt: skip
    found = json.loads(out)
    assert (code, found["drifted"], found["predictions"]) == (3, True, 200)
    assert found["accuracy"]["share"] == 0.5
    assert [bool(t["drifted"]) for w in found["windows"] for t in w["tests"]
            if t["name"] == "brightness"] == [False, False, True, True]  # fmt: skip
    assert found["confidence"]["low_share"] == pytest.approx(1 / 3, abs=0.1)
    assert len(found["confidence"]["deciles"]) == 9


def test_the_page_needs_nothing_else_and_trusts_no_name(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle, bright=0.7)
    page = tmp_path / "watch.html"
    watched(capsys, log, "--bundle", bundle.path, "--window", 50, "--html", page)
    html = page.read_text()
    assert "<b>" not in re.sub(r'<td class="n bar">.*?</td>', "", html)
    assert "&lt;b&gt;" in html
    assert html.count("<img") == 3
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert "2 of 4 windows drifted" in html


def test_the_axis_of_the_page_says_the_day_once_or_below_each_time():
    noon, evening = (time.mktime((2026, 1, 31, hour, 5, 0, 0, 0, -1)) for hour in (12, 20))
    morning = time.mktime((2026, 2, 1, 7, 0, 0, 0, 0, -1))
    assert _clock([noon, evening]) == (", 2026-01-31", ["12:05", "20:05"])
    assert _clock([noon, morning]) == ("", ["12:05\n2026-01-31", "07:00\n2026-02-01"])


def test_what_is_older_or_of_few_distinct_inputs_is_not_tested(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle, bright=0.7)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 150, "--since", "20m")
    assert code == 4
    assert re.search(r"not tested: 1[12]\d distinct inputs, a window needs 150", out)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--since", "1s")
    assert (code, "none in the last" in out) == (4, True)
    same = tmp_path / "same.sqlite"
    with closing(open_log(same)) as connection:
        row = Row("r", time.time(), bundle.version, "h", "cat", 0.9, 1.0, {"brightness": 0.9})
        append(connection, [row] * 1000, 10_000, 10**7)
    code, out = watched(capsys, same, "--bundle", bundle.path)
    assert code == 4
    assert "only 1 distinct inputs" in out


def test_4_if_all_traffic_is_of_other_versions(tmp_path, bundle, capsys):
    log = tmp_path / "log.sqlite"
    with closing(open_log(log)) as connection:
        row = Row("r", time.time(), "other", "h", "cat", 0.9, 1.0, {"brightness": 0.9})
        append(connection, [row] * 1000, 10_000, 10**7)
    code, out = watched(capsys, log, "--bundle", bundle.path)
    assert code == 4
    assert "1,000 more of other versions are left out" in out
    code, out = watched(capsys, log, "--bundle", bundle.path, "--json")
    assert (json.loads(out)["tested"], json.loads(out)["drifted"]) == (False, False)


def test_what_no_window_holds_is_told(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle)
    start = time.time() - 5000
    row = Row("r", start, bundle.version, "h", "cat", 0.9, 1.0, {"brightness": 0.9})
    early = [replace(row, id=f"e{i}", time=start + i, input_hash=f"e{i}") for i in range(300)]
    with closing(open_log(log)) as connection:
        rows = connection.execute("SELECT * FROM predictions").fetchall()
        connection.execute("DELETE FROM predictions")
        append(connection, early, 1000, 10**7)  # as bright as never since
        marks = ", ".join("?" * 9)
        columns = "id, time, model, input_hash, class, confidence, milliseconds, statistics, input"
        connection.executemany(
            f"INSERT INTO predictions ({columns}) VALUES ({marks})", [r[1:] for r in rows]
        )
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 150)
    assert code == 3
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 20, "--json")
    found = json.loads(out)
    assert (len(found["windows"]), found["uncompared"]) == (20, 100)
    assert found["compared_since"] == pytest.approx(start + 100)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 20)
    assert re.search(r"100 older predictions, before \S*\s?\d\d:\d\d, were not compared "
                     r"\(20 windows at most: take larger ones\)", out)  # fmt: skip


def test_what_is_dated_in_the_future_is_left_out_and_told(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle)
    row = Row("r", time.time() + 3600, bundle.version, "h", "cat", 0.9, 1.0, {"brightness": 0.9})
    with closing(open_log(log)) as connection:
        append(connection, [row] * 7, 1000, 10**7)
    code, out = watched(capsys, log, "--bundle", bundle.path, "--window", 100)
    assert code == 0
    assert "200 from" in out
    assert "7 more are dated in the future and left out" in out


def test_a_bundle_without_a_reference_is_a_mistake_but_the_rest_is_shown(tmp_path, bundle, capsys):
    log = write_log(tmp_path / "log.sqlite", bundle)
    (bundle.path / "reference.json").unlink()
    with pytest.raises(BundleError, match=r"no reference\.json; export it again"):
        main([str(log), "--bundle", str(bundle.path)])
    assert "latency" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window", "5"], "--window: must be at least 20, found 5"),
        (["--alpha", "1"], "--alpha: must be between 0 and 1, found 1.0"),
        (["--min-confidence", "nan"], "--min-confidence: must be between 0 and 1"),
        (["--since", "1w"], "--since: must be like 90s, 30m, 24h or 7d, found '1w'"),
        (["--since", "0s"], "--since: must be like"),
    ],
)
def test_options_out_of_range(tmp_path, bundle, words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        main([str(tmp_path / "log"), "--bundle", str(bundle.path), *words])


def test_files_that_are_missing(tmp_path, bundle):
    with pytest.raises(DataError, match="there is no such prediction log"):
        main([str(tmp_path / "log"), "--bundle", str(bundle.path)])
    with pytest.raises(BundleError, match=r"bundle\.json"):
        main([str(tmp_path / "log"), "--bundle", str(tmp_path)])


def test_nothing_heavy_is_imported(tmp_path, bundle):
    log = write_log(tmp_path / "log.sqlite", bundle)
    code = (
        "from burnish.commands.watch import main\n"
        f"main([{str(log)!r}, '--bundle', {str(bundle.path)!r}, '--window', '100'])"
    )
    heavy = {"torch", "lightning", "hydra", "omegaconf", "onnxruntime", "matplotlib", "fastapi"}
    assert "scipy" in (found := imported_by(code))
    assert not heavy & set(found)
