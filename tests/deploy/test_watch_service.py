"""The log of a running service: predictions, feedback, gauges."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from bundles import image_bundle, text_bundle
from burnish.deploy.predictor import of_bundle
from burnish.deploy.service import feedback
from burnish.deploy.service.app import create_app
from burnish.deploy.watch.gauges import Monitor
from burnish.deploy.watch.reading import read_log
from burnish.deploy.watch.reference import make_reference
from burnish.deploy.watch.summary import Settings
from burnish.errors import ConfigError
from burnish.runs.folder import RunFolder
from serving import client, noise, png, settings


def asked(bundle, asks, **given):
    async def run():
        async with client(create_app(settings(bundle.path, **given))) as asking:
            return await asks(asking)

    return asyncio.run(run())


async def predicted(asking, seed=0, **headers):
    headers = {"content-type": "image/png", **headers}
    return (await asking.post("/predict", content=png(noise(seed=seed)), headers=headers)).json()


def test_predictions_and_feedback_end_in_the_log(tmp_path):
    bundle, log = image_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"

    async def asks(asking):
        answers = [await predicted(asking, seed) for seed in range(6)]
        # At once: the prediction may not be in the log yet.
        found = await asking.post("/feedback", json={"id": answers[5]["id"], "label": "猫<b>"})
        metrics = (await asking.get("/metrics")).text
        return answers, found, metrics

    answers, found, metrics = asked(bundle, asks, log=log)
    assert (found.status_code, found.json()) == (200, {"id": answers[5]["id"], "label": "猫<b>"})
    logged = read_log(log, bundle.version)
    told = [answer["predictions"][0] for answer in answers]
    assert logged.labels == [prediction["class"] for prediction in told]
    assert list(logged.values["confidence"]) == [prediction["confidence"] for prediction in told]
    assert logged.values["brightness"][0] == pytest.approx(noise().mean() / 255, abs=1e-5)
    assert logged.truths == (*[None] * 5, "猫<b>")
    assert 'burnish_logged_total{outcome="written"} 6.0' in metrics


def test_several_inputs_have_an_id_each(tmp_path):
    bundle, log = text_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"

    async def asks(asking):
        answer = (await asking.post("/predict", json={"texts": ["abc", "hg"]})).json()
        ids = [prediction["id"] for prediction in answer["predictions"]]
        return [await asking.post("/feedback", json={"id": i, "label": "bad"}) for i in ids]

    assert [answer.status_code for answer in asked(bundle, asks, log=log)] == [200, 200]
    logged = read_log(log, bundle.version)
    assert logged.truths == ("bad", "bad")
    assert list(logged.values["tokens"]) == [3.0, 2.0]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"id": "nobody", "label": "cat"}, 404, "id: there is no such prediction"),
        ({"id": "x", "label": "horse"}, 422, "label: must be one of cat, dog, 猫<b>"),
        ({"id": "x"}, 422, "label: "),
        ({"id": 5, "label": "cat"}, 422, "id: "),
        ({"id": "", "label": "cat"}, 422, "id: "),
        ({"id": "x" * 101, "label": "cat"}, 422, "id: "),
        ({"id": "x", "label": "cat", "more": 1}, 422, "more: "),
        ([], 422, ""),
    ],
)
def test_wrong_feedback_is_told(tmp_path, body, status, words):
    bundle = image_bundle(tmp_path / "bundle")

    async def asks(asking):
        return await asking.post("/feedback", content=json.dumps(body),
                                 headers={"content-type": "application/json"})  # fmt: skip

    answer = asked(bundle, asks, log=tmp_path / "log.sqlite")
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith(words)


def test_a_log_that_vanishes_stops_nobody(tmp_path):
    bundle, folder = image_bundle(tmp_path / "bundle"), tmp_path / "logs"
    folder.mkdir()

    async def asks(asking):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        answer = await predicted(asking)
        await asyncio.sleep(0.5)
        told = await asking.post("/feedback", json={"id": answer["id"], "label": "cat"})
        return answer, told, (await asking.get("/metrics")).text

    answer, told, metrics = asked(bundle, asks, log=folder / "log.sqlite")
    assert answer["predictions"][0]["class"] in bundle.spec.class_names
    assert told.status_code == 503
    assert "logs" not in told.text
    assert 'burnish_logged_total{outcome="failed"} 1.0' in metrics


def test_without_a_log_there_is_no_feedback_and_a_bad_one_is_the_users_mistake(tmp_path):
    bundle = image_bundle(tmp_path / "bundle")
    answer = asked(bundle, lambda c: c.post("/feedback", json={"id": "x", "label": "cat"}))
    assert answer.status_code == 404
    with pytest.raises(ConfigError, match=r"^log: there is no folder"):
        create_app(settings(bundle.path, log=tmp_path / "missing" / "log.sqlite"))


def test_gauges_tell_what_the_log_says(tmp_path, monkeypatch):
    monkeypatch.setattr(feedback, "SECONDS", 0.05)
    monkeypatch.setattr(feedback, "Monitor", _eager)
    bundle, log = image_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"
    usual = list(np.random.default_rng(0).integers(0, 256, (300, 3, 6, 8), dtype=np.uint8))
    RunFolder(bundle.path).write_json("reference", make_reference(of_bundle(bundle, 1), usual))
    dark = [(noise(seed=seed) // 3).tolist() for seed in range(40)]

    async def asks(asking):
        for i in range(0, 40, 20):
            answer = (await asking.post("/predict", json={"images": dark[i : i + 20]})).json()
        first = answer["predictions"][0]
        await asking.post("/feedback", json={"id": first["id"], "label": first["class"]})
        for _ in range(100):
            await asyncio.sleep(0.1)
            metrics = (await asking.get("/metrics")).text
            if "burnish_watch_accuracy" in metrics and "} 1.0" in metrics.partition(
                "burnish_watch_labelled{")[2][:60]:  # fmt: skip
                break
        return metrics

    metrics = asked(bundle, asks, log=log)
    version = f'version="{bundle.version}"'
    found = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    assert float(found[f"burnish_watch_predictions{{{version}}}"]) == 40
    assert float(found[f"burnish_watch_windows{{{version}}}"]) == 1
    assert float(found[f"burnish_watch_accuracy{{{version}}}"]) == 1
    of = f'of="brightness",{version}'
    assert float(found[f"burnish_watch_drift{{{of}}}"]) == 1
    assert float(found[f"burnish_watch_drift_p_value{{{of}}}"]) < 1e-9


def _eager(log: Path, bundle) -> Monitor:
    return Monitor(log, bundle, Settings(window=40), seconds=0.0)


def test_a_look_stays_fresh(tmp_path):
    bundle, log = text_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"
    asked(bundle, lambda c: c.post("/predict", json={"text": "abc"}), log=log)
    lazy, eager = Monitor(log, bundle), Monitor(log, bundle, seconds=0.0)
    before = lazy.look(), eager.look()
    assert eager.look() is before[1]  # nothing was written meanwhile
    asked(bundle, lambda c: c.post("/predict", json={"text": "abc"}), log=log)
    assert lazy.look() is before[0]
    assert (eager.look().predictions, eager.look().distinct) == (2, 1)
