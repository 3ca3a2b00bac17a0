"""The service's answers, compared with logits computed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bundles import IMAGES, image_bundle, image_logits, probabilities, text_bundle, text_logits
from burnish.deploy.service.app import create_app
from launch import imported_by
from serving import base64_of, client, noise, png, settings

PIXELS = noise()
PNG = png(PIXELS)
EXPECTED = probabilities(image_logits(PIXELS.transpose(2, 0, 1)[None]))[0]
Asks = Callable[[httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_bundle(tmp_path_factory.mktemp("images")).path


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_bundle(tmp_path_factory.mktemp("texts")).path


def asked(bundle: Path, asks: Asks, **given: Any) -> Any:
    async def run() -> Any:
        async with client(create_app(settings(bundle, **given))) as asking:
            return await asks(asking)

    return asyncio.run(run())


def posted(bundle: Path, **request: Any) -> httpx.Response:
    return asked(bundle, lambda c: c.post("/predict", **request))  # type: ignore[no-any-return]


def raw(body: bytes, kind: str) -> dict[str, Any]:
    return {"content": body, "headers": {"content-type": kind}}


@pytest.mark.parametrize(
    "request_",
    [
        raw(PNG, "image/png"),
        raw(PNG, "application/octet-stream"),
        {"files": {"file": ("../../x.png", PNG)}},
        {"files": [("images", ("x", PNG))]},
        {"json": {"image": base64_of(PNG)}},
        {"json": {"image": "data:image/png;base64," + base64_of(PNG)}},
        {"json": {"image": PIXELS.tolist()}},
    ],
)
def test_every_form_of_a_picture_gets_the_net_s_probabilities(
    images: Path, request_: dict[str, Any]
) -> None:
    response = posted(images, **request_)
    told = response.json()
    (prediction,) = told["predictions"]
    assert response.status_code == 200
    assert list(prediction["probabilities"]) == list(IMAGES.class_names)
    np.testing.assert_allclose(list(prediction["probabilities"].values()), EXPECTED, atol=1e-6)
    assert prediction["class"] == IMAGES.class_names[EXPECTED.argmax()]
    assert prediction["confidence"] == max(prediction["probabilities"].values())
    assert prediction["id"] == told["id"] == response.headers["x-request-id"]
    assert told["model"]["name"] == "handmade"
    assert told["milliseconds"] > 0


def test_a_batch_keeps_its_order_and_a_bad_item_fails_alone(images: Path) -> None:
    others = [noise(seed=seed) for seed in range(20)]
    sent: list[Any] = [one.tolist() for one in others]
    sent[3:3] = ["!!", base64_of(b"no picture"), [[1, 2], [3]], [[300]]]
    response = posted(images, json={"images": sent})
    predictions = response.json()["predictions"]
    assert response.status_code == 200
    assert [p["id"].rpartition("-")[2] for p in predictions] == [str(i) for i in range(24)]
    assert [p["error"]["status"] for p in predictions if "error" in p] == [422, 415, 422, 422]
    assert all("error" in p for p in predictions[3:7])
    found = [list(p["probabilities"].values()) for p in predictions if "error" not in p]
    pixels = np.stack(others).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, probabilities(image_logits(pixels)), atol=1e-6)


def test_a_batch_of_bad_items_only_is_refused_with_their_status(images: Path) -> None:
    no = base64_of(b"no")
    assert posted(images, json={"images": [no, no]}).status_code == 415
    assert posted(images, json={"images": [no, "!!"]}).status_code == 422


def test_texts_of_different_lengths_are_padded_together(texts: Path) -> None:
    some = ["abc", "h", "a" * 50, "zz top"]
    response = posted(texts, json={"texts": some})
    found = [list(p["probabilities"].values()) for p in response.json()["predictions"]]
    np.testing.assert_allclose(found, probabilities(text_logits(some)), atol=1e-6)


def test_outer_blanks_count_as_little_as_in_training(texts: Path) -> None:
    bare, padded, empty = posted(texts, json={"texts": ["abc", " abc\r\n", " "]}).json()[
        "predictions"
    ]
    assert padded["probabilities"] == bare["probabilities"]
    assert empty["error"] == {"status": 422, "message": "the text is empty"}


def test_a_text_comes_in_json_or_plainly(texts: Path) -> None:
    answers = [
        posted(texts, json={"text": "abc"}),
        posted(texts, **raw("\ufeffabc".encode(), "text/plain; charset=utf-8")),
    ]
    expected = probabilities(text_logits(["abc"]))[0]
    for answer in answers:
        (prediction,) = answer.json()["predictions"]
        np.testing.assert_allclose(list(prediction["probabilities"].values()), expected, atol=1e-6)
    assert posted(texts, **raw(b"\xff\xfe", "text/plain")).status_code == 422


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"json": {"imge": "x"}}, 422, "imge"),
        ({"json": {"image": "x", "extra": 1}}, 422, "extra"),
        ({"json": {"image": 3}}, 422, "image"),
        ({"json": {"image": True}}, 422, "image"),
        ({"json": {"images": ["aa", 3]}}, 422, "images.1"),
        ({"json": {"images": []}}, 422, "images"),
        ({"json": {"text": "a"}}, 422, "text: this service takes image or images"),
        ({"json": {"image": "aa", "images": ["aa"]}}, 422, "exactly one"),
        ({"json": {}}, 422, "exactly one"),
        ({"json": [1]}, 422, "object"),
        (raw(b"{", "application/json"), 422, "JSON"),
        (raw(b'{"image":' + b"[" * 10_000, "application/json"), 422, "JSON"),
        ({"json": {"image": [[[1, 2]]]}}, 422, "[1][1][2]"),
        ({"json": {"image": [["a"]]}}, 422, "whole numbers"),
        ({"json": {"image": [[0.5]]}}, 422, "whole numbers"),
        ({"json": {"image": [[True, 2]]}}, 422, "whole numbers"),
        ({"json": {"image": ["a" * 10**6, *["b"] * 10**5]}}, 422, "whole numbers"),  # 400 GB
        ({"json": {"image": [[]]}}, 422, "whole numbers"),
        ({"json": {"images": ["aa"] * 65}}, 413, "65 inputs"),
        ({"json": {"image": [[0] * 1001] * 1000}}, 413, "values"),
        ({"files": {"upload": b"x"}}, 422, "upload"),
        ({"files": [("files", b"x")] * 65}, 413, "64 files"),
        (raw(b"x", "multipart/form-data"), 422, "form"),
        (raw(b"x", "text/plain"), 415, "text/plain"),
        ({"content": b"x"}, 415, "names none"),
        ({"data": {"image": "aa"}}, 415, "x-www-form-urlencoded"),
        (raw(b"%PDF-1.7", "image/png"), 415, "not an image"),
        (raw(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/x"), 415, "not an"),
        (raw(b"", "image/png"), 422, "empty"),
        (raw(PNG[:60], "image/png"), 422, "decoded"),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(
    images: Path, request_: dict[str, Any], status: int, words: str
) -> None:
    response = posted(images, **request_)
    told = response.json()
    assert (response.status_code, told["error"]["status"]) == (status, status)
    assert words in told["error"]["message"]
    assert told["id"] == response.headers["x-request-id"]
    assert str(images) not in response.text


@pytest.mark.parametrize("cut", [1, 3, 30, 60])
def test_a_form_that_was_cut_off_is_not_answered_in_part(images: Path, cut: int) -> None:
    part = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    body = 2 * (part + PNG + b"\r\n")
    kind = "multipart/form-data; boundary=edge"
    whole = posted(images, **raw(body + b"--edge--\r\n", kind))
    assert len(whole.json()["predictions"]) == 2
    response = posted(images, **raw((body + b"--edge--")[:-cut], kind))
    assert response.status_code == 422
    assert "form is damaged" in response.json()["error"]["message"]


def test_probes_may_ask_for_the_head_alone(images: Path) -> None:
    async def look(asking: httpx.AsyncClient) -> list[httpx.Response]:
        paths = ("/health/live", "/v2/health/ready", "/metrics", "/docs", "/", "/predict")
        return [await asking.head(path) for path in paths]

    found = asked(images, look)
    assert [one.status_code for one in found] == [200] * 5 + [405]
    assert [one.content for one in found] == [b""] * 6
    assert int(found[0].headers["content-length"]) == len('{"status":"live"}')


def test_images_are_no_texts(texts: Path) -> None:
    assert posted(texts, **raw(PNG, "image/png")).status_code == 415
    assert "image" in posted(texts, json={"image": "aa"}).json()["error"]["message"]
    assert posted(texts, **raw(b'{"text": "\\ud800"}', "application/json")).status_code == 422
    assert posted(texts, json={"text": "a" * 100_001}).status_code == 413


def test_ready_means_that_the_sample_gives_its_output(images: Path, tmp_path: Path) -> None:
    other = image_bundle(tmp_path, seed=1)
    (tmp_path / "sample.npz").write_bytes((images / "sample.npz").read_bytes())

    async def probe(asking: httpx.AsyncClient) -> list[int]:
        return [(await asking.get(f"/health/{p}")).status_code for p in ("live", "ready")]

    assert asked(images, probe) == [200, 200]
    assert asked(other.path, probe) == [200, 503]


def test_info_docs_and_metrics(images: Path) -> None:
    async def look(asking: httpx.AsyncClient) -> list[httpx.Response]:
        await asking.post("/predict", json={"images": [PIXELS.tolist(), "!!"]})
        await asking.post("/predict", json={"image": "!!"})
        await asking.get("/nowhere/else")
        return [await asking.get(p) for p in ("/model/info", "/docs", "/openapi.json", "/metrics")]

    info, docs, openapi, metrics = asked(images, look)
    assert info.json()["classes"] == list(IMAGES.class_names)
    assert info.json()["input"] == {"channels": 3, "height": 6, "width": 8}
    assert "/predict" in docs.text
    assert "http" not in docs.text.replace("http-equiv", "")  # nothing from the network
    assert "multipart/form-data" in openapi.json()["paths"]["/predict"]["post"]["requestBody"][
        "content"
    ]  # fmt: skip
    lines = metrics.text.splitlines()
    assert 'burnish_requests_total{route="/predict",status="200"} 1.0' in lines
    assert 'burnish_requests_total{route="/predict",status="422"} 1.0' in lines
    assert 'burnish_requests_total{route="other",status="404"} 1.0' in lines
    version = info.json()["version"]
    assert f'burnish_predictions_total{{outcome="answered",version="{version}"}} 1.0' in lines
    assert f'burnish_predictions_total{{outcome="422",version="{version}"}} 2.0' in lines


def test_a_crash_is_a_bare_500(
    images: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr("burnish.deploy.service.predict.read_body", broken)
    response = posted(images, **raw(PNG, "image/png"))
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_a_bundle_is_served_without_torch_lightning_and_hydra(images: Path) -> None:
    loaded = imported_by(
        "from pathlib import Path\n"
        "import burnish.cli, burnish.commands.serve, burnish.deploy.service.protocol\n"
        "from burnish.deploy.service.app import create_app\n"
        "from burnish.deploy.service.settings import Settings\n"
        f"create_app(Settings(Path({str(images)!r}), log=Path('log.db')))",
        images,
    )
    heavy = {"torch", "lightning", "hydra", "omegaconf", "torchvision", "matplotlib", "sklearn"}
    assert "onnxruntime" in loaded
    assert not loaded & heavy
