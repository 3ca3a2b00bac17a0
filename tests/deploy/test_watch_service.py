"""The log of a running service: predictions, feedback, gauges."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import prometheus_client
import pytest

from bundles import IMAGES, image_bundle, text_bundle
from burnish.deploy.predictor import of_bundle
from burnish.deploy.service import feedback
from burnish.deploy.service.app import create_app
from burnish.deploy.watch.gauges import Gauges, Monitor
from burnish.deploy.watch.reading import read_log
from burnish.deploy.watch.reference import make_reference
from burnish.deploy.watch.summary import Settings, summarise
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


def test_without_traffic_a_look_goes_on_all_the_same(tmp_path):
    bundle, log = text_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"
    asked(bundle, lambda c: c.post("/predict", json={"text": "abc"}), log=log)
    monitor = Monitor(log, bundle, Settings(since_seconds=1.0), seconds=0.0)
    assert monitor.look().predictions == 1
    time.sleep(1.0)
    assert monitor.look().predictions == 0


def test_gauges_forget_what_is_over_and_what_cannot_be_seen(tmp_path):
    bundle, log = image_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"
    usual = list(np.random.default_rng(0).integers(0, 256, (300, 3, 6, 8), dtype=np.uint8))
    RunFolder(bundle.path).write_json("reference", make_reference(of_bundle(bundle, 1), usual))
    dark = [(noise(seed=seed) // 3).tolist() for seed in range(20)]
    asked(bundle, lambda c: c.post("/predict", json={"images": dark}), log=log)
    registry = prometheus_client.CollectorRegistry()
    gauges = Gauges(prometheus_client, registry)

    def value(name, **labels):
        return registry.get_sample_value(name, {"version": bundle.version, **labels})

    gauges.show(summarise(log, bundle, Settings(window=20)))
    assert value("burnish_watch_drift", of="brightness") == 1
    gauges.show(summarise(log, bundle, Settings(window=20), now=time.time() + 2 * 86_400))
    assert value("burnish_watch_predictions") == 0
    assert np.isnan(value("burnish_watch_drift", of="brightness"))
    gauges.show(summarise(log, bundle, Settings(window=20)))
    assert value("burnish_watch_drift", of="brightness") == 1
    gauges.forget(bundle.version)
    assert np.isnan(value("burnish_watch_predictions"))
    assert np.isnan(value("burnish_watch_drift", of="brightness"))


def test_the_same_inputs_as_at_export_are_no_drift_of_a_sure_net(tmp_path):
    sure = replace(IMAGES, std=(0.02, 0.02, 0.02))  # logits ten times as large
    bundle, log = image_bundle(tmp_path / "bundle", sure), tmp_path / "log.sqlite"
    usual = [noise(seed=seed) for seed in range(240)]
    made = of_bundle(bundle, 1)
    reference = make_reference(made, [made.preprocess.read(item) for item in usual])
    RunFolder(bundle.path).write_json("reference", reference)
    assert np.mean(np.array(reference["confidence"]) == 1) > 0.1

    async def asks(asking):
        for i in range(0, 240, 60):
            given = {"images": [item.tolist() for item in usual[i : i + 60]]}
            assert (await asking.post("/predict", json=given)).status_code == 200

    asked(bundle, asks, log=log)
    found = summarise(log, bundle, Settings(window=240))
    (window,) = found.windows
    # A batch of another size may round one answer otherwise.
    assert {test.name: test.distance for test in window.tests} == pytest.approx(
        dict.fromkeys(["classes", "confidence", "brightness", "contrast", "sharpness"], 0.0),
        abs=1.1 / 240,
    )
    assert not found.drifted


def test_feedback_for_an_id_that_two_clients_took_is_refused(tmp_path):
    bundle, log = image_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"

    async def asks(asking):
        for seed in range(2):
            await predicted(asking, seed, **{"x-request-id": "mine"})
        await asyncio.sleep(0.5)
        return await asking.post("/feedback", json={"id": "mine", "label": "cat"})

    answer = asked(bundle, asks, log=log)
    assert answer.status_code == 409
    assert answer.json()["error"]["message"].startswith("id: several inputs")


def test_a_log_that_is_deleted_begins_anew_and_feedback_makes_none(tmp_path):
    bundle, log = image_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"

    async def asks(asking):
        first = await predicted(asking)
        await asyncio.sleep(0.5)
        log.unlink()
        told = await asking.post("/feedback", json={"id": first["id"], "label": "cat"})
        made = log.exists()
        await predicted(asking)
        return told, made

    told, made = asked(bundle, asks, log=log)
    assert (told.status_code, made) == (503, False)
    assert len(read_log(log, bundle.version)) == 1


@pytest.mark.parametrize(("side", "warned"), [(57, False), (58, True)])
def test_inputs_too_large_to_be_kept_are_told_at_the_start(tmp_path, caplog, side, warned):
    bundle = image_bundle(tmp_path / "bundle", replace(IMAGES, height=side, width=side))
    log = tmp_path / "log.sqlite"  # 3 * 57 * 57 bytes are 1 % of a megabyte
    create_app(settings(bundle.path, log=log, log_inputs=True, log_max_mb=1))
    assert ("log_inputs: no input is kept: one has 0.01 MB" in caplog.text) is warned


def test_a_look_stays_fresh(tmp_path):
    bundle, log = text_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite"
    asked(bundle, lambda c: c.post("/predict", json={"text": "abc"}), log=log)
    lazy, eager = Monitor(log, bundle), Monitor(log, bundle, seconds=0.0)
    before = lazy.look(), eager.look()
    asked(bundle, lambda c: c.post("/predict", json={"text": "abc"}), log=log)
    assert lazy.look() is before[0]
    assert (eager.look().predictions, eager.look().distinct) == (2, 1)
