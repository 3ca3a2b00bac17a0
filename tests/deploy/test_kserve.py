"""The routes of the Open Inference Protocol, compared with logits computed by hand."""

import asyncio
import json
import re

import numpy as np
import pytest

from bundles import IMAGES, image_bundle, image_logits, probabilities, text_bundle, text_logits
from burnish.deploy.service.app import create_app
from serving import client, settings

PIXELS = np.random.default_rng(5).integers(0, 256, (2, 3, 6, 8), dtype=np.uint8)
EXPECTED = probabilities(image_logits(PIXELS))
MODEL = "/v2/models/handmade"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_bundle(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return text_bundle(tmp_path_factory.mktemp("texts"))


def asked(bundle, asks, **given):
    async def run():
        async with client(create_app(settings(bundle.path, **given))) as asking:
            return await asks(asking)

    return asyncio.run(run())


def got(bundle, path, **given):
    return asked(bundle, lambda c: c.get(path), **given)


def inferred(bundle, path=f"{MODEL}/infer", given=None, **body):
    tensor = {"name": "images", "datatype": "UINT8", "shape": [2, 3, 6, 8]}
    body = {"inputs": [{**tensor, "data": PIXELS.tolist()}], **body}
    return asked(bundle, lambda c: c.post(path, json=body), **(given or {}))


def test_pixels_give_the_probabilities(images):
    answer = inferred(images, id="42")
    assert answer.status_code == 200
    told = answer.json()
    request_id = answer.headers["x-request-id"]
    assert {key: told[key] for key in ("model_name", "model_version", "id", "parameters")} == {
        "model_name": "handmade",
        "model_version": images.version,
        "id": "42",
        "parameters": {"request_id": request_id},
    }
    found, classes = told["outputs"]
    assert (found["name"], found["datatype"], found["shape"]) == ("probabilities", "FP32", [2, 3])
    np.testing.assert_allclose(np.reshape(found["data"], (2, 3)), EXPECTED, atol=1e-5)
    assert classes == {
        "name": "class",
        "datatype": "BYTES",
        "shape": [2],
        "data": [IMAGES.class_names[i] for i in EXPECTED.argmax(1)],
    }


def test_without_an_id_none_is_answered(images):
    assert "id" not in inferred(images).json()


def test_normalised_images_give_the_same(images):
    mean, std = (np.array(v)[:, None, None] for v in (IMAGES.mean, IMAGES.std))
    data = ((PIXELS / 255 - mean) / std).ravel().tolist()
    tensor = {"name": "images", "datatype": "FP32", "shape": [2, 3, 6, 8], "data": data}
    answer = inferred(images, inputs=[tensor], outputs=[{"name": "probabilities"}])
    (found,) = answer.json()["outputs"]
    np.testing.assert_allclose(np.reshape(found["data"], (2, 3)), EXPECTED, atol=1e-5)


def test_texts(texts):
    tensor = {"name": "texts", "datatype": "BYTES", "shape": [2], "data": ["abc", "hg"]}
    found = inferred(texts, inputs=[tensor]).json()["outputs"][0]
    expected = probabilities(text_logits(["abc", "hg"]))
    np.testing.assert_allclose(np.reshape(found["data"], (2, 2)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "given", "status", "words"),
    [
        ({"inputs": []}, {}, 400, "inputs"),
        ({"inputs": [{"name": "images"}]}, {}, 400, "inputs.0.shape: Field required"),
        ({"inputs": "x"}, {}, 400, "inputs"),
        ({"outputs": [{"name": "logits"}]}, {}, 400, "there is no logits"),
        ({}, {"max_items": 1}, 400, "1 to 1 items"),
        ({}, {"max_body_mb": 0.0001}, 413, "larger than"),
        ({}, {"api_key": "secret"}, 401, "API key"),
    ],
)
def test_errors_are_told_as_the_protocol_wants(images, body, given, status, words):
    answer = inferred(images, given=given, **body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def test_a_body_that_is_no_json(images):
    for content in (b"", b"{", b"[]", b"[" * 1000, b"\xff"):
        answer = asked(images, lambda c, body=content: c.post(f"{MODEL}/infer", content=body))
        assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_a_text_beyond_the_limit(texts):
    tensor = {"name": "texts", "datatype": "BYTES", "shape": [1], "data": ["a" * 11]}
    assert inferred(texts, given={"max_characters": 10}, inputs=[tensor]).status_code == 413


def test_metadata_and_health(images):
    assert got(images, "/v2").json() == {"name": "burnish", "version": "2", "extensions": []}
    assert got(images, "/v2/health/live").json() == {"live": True}
    assert got(images, "/v2/health/ready").json()["ready"] is True
    assert got(images, f"{MODEL}/ready").json() == {"name": "handmade", "ready": True}
    version = f"{MODEL}/versions/{images.version}"
    assert got(images, f"{version}/ready").json() == {"name": "handmade", "ready": True}
    told = got(images, MODEL).json()
    assert told == got(images, version).json()
    assert told["versions"] == [images.version]
    assert told["platform"] == "onnx_onnxv1"
    assert told["inputs"][0]["shape"] == [-1, 3, 6, 8]


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/other/ready", f"{MODEL}/versions/9", f"{MODEL}/x"]
)
def test_what_is_not_there(images, path):
    answer = got(images, path)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_a_net_that_computes_something_else_is_not_ready(images, tmp_path):
    broken = image_bundle(tmp_path)
    saved = dict(np.load(tmp_path / "sample.npz"))
    np.savez(tmp_path / "sample.npz", **{**saved, "logits": saved["logits"] + 1})
    for path in ("/v2/health/ready", f"{MODEL}/ready"):
        answer = got(broken, path)
        assert (answer.status_code, list(answer.json())) == (503, ["error"])


def test_each_of_two_versions_can_be_asked(images, tmp_path):
    other = image_bundle(tmp_path, seed=1)
    given = {"shadow": other.path, "split": 0.5}
    answer = inferred(images, f"{MODEL}/versions/{other.version}/infer", given=given).json()
    assert answer["model_version"] == other.version
    expected = probabilities(image_logits(PIXELS, seed=1))
    np.testing.assert_allclose(answer["outputs"][0]["data"], expected.ravel(), atol=1e-5)
    listed = got(images, MODEL, **given).json()["versions"]
    assert listed == [images.version, other.version]


def test_binary_tensors_are_refused_in_words(images):
    headers = {"inference-header-content-length": "2"}
    answer = asked(images, lambda c: c.post(f"{MODEL}/infer", content=b"{}\x00", headers=headers))
    assert answer.status_code == 400
    assert "binary tensor data" in answer.json()["error"]


def test_every_reference_of_the_openapi_document_leads_somewhere(images):
    document = got(images, "/openapi.json").json()
    assert {path for path in document["paths"] if path.startswith("/v2")} == {
        "/v2", "/v2/health/live", "/v2/health/ready",
        *(f"/v2/models/{{name}}{v}{end}" for v in ("", "/versions/{version}")
          for end in ("", "/ready", "/infer")),
    }  # fmt: skip
    for reference in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
        node = document
        for part in reference.split("/"):
            node = node[part]
    parameters = document["paths"]["/v2/models/{name}/versions/{version}"]["get"]["parameters"]
    assert [p["name"] for p in parameters] == ["name", "version"]
