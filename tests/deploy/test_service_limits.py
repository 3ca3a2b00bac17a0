"""Limits: bytes, pixels, time. A stranger's request costs no more than they allow."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from bundles import IMAGES, image_bundle, image_logits, probabilities
from burnish.data.decode import read_image
from burnish.deploy.service.app import create_app
from burnish.deploy.service.settings import Settings
from burnish.errors import ConfigError
from serving import client, noise, png, sent, settings

PNG = png(noise())
KIND = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_bundle(tmp_path_factory.mktemp("images")).path


def posted(bundle: Path, body: Any, **given: Any) -> httpx.Response:
    app = create_app(settings(bundle, **given))
    return sent(app, ("POST", "/predict", {"content": body, "headers": KIND}))[0]


def grey_png(width: int, height: int) -> bytes:
    """Of one colour, without ever holding its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj()
    data = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "status"),
    [((12_000, 9_000), 413), ((20_000, 20_000), 413), ((1, 1_000_000), 413), ((3, 2), 200)],
)
def test_pixels_are_counted_before_they_are_decoded(
    bundle: Path, size: tuple[int, int], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    width, height = size
    data = grey_png(width, min(height, 100)) if status == 413 and width > 1 else grey_png(*size)
    data = data[:20] + struct.pack(">I", height) + data[24:]  # the header decides
    head = data[12:16] + data[16:29]
    data = data[:29] + struct.pack(">I", zlib.crc32(head)) + data[33:]
    decoded = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: (decoded.append(1), load(self))[1])
    assert posted(bundle, data).status_code == status
    assert bool(decoded) == (status == 200)


def test_a_picture_s_own_quirks_are_read_as_in_evaluation(bundle: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    big = png(noise(300, 200), "JPEG", exif=exif)
    frames = io.BytesIO()
    pictures = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    pictures[0].save(frames, "GIF", save_all=True, append_images=pictures[1:])
    for data in (big, frames.getvalue(), PNG + b"<script>", png(noise(1, 1), "WEBP")):
        pixels = read_image(io.BytesIO(data), IMAGES.height, IMAGES.width, IMAGES.channels)
        (prediction,) = posted(bundle, data).json()["predictions"]
        expected = probabilities(image_logits(pixels[None]))[0]
        np.testing.assert_allclose(list(prediction["probabilities"].values()), expected, atol=1e-6)


def test_a_jpeg_of_a_hundred_scans_is_refused(bundle: Path) -> None:
    whole = png(noise(64, 64), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    assert posted(bundle, whole[:last] + whole[last:-2] * 100 + whole[-2:]).status_code == 422
    assert posted(bundle, whole).status_code == 200


def test_a_body_is_measured_with_and_without_its_length(bundle: Path) -> None:
    read = []

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            read.append(1)
            yield bytes(100_000)

    assert posted(bundle, pieces(), max_body_mb=0.5).status_code == 413
    assert len(read) < 10
    assert posted(bundle, bytes(500_001), max_body_mb=0.5).status_code == 413
    assert posted(bundle, bytes(499_999), max_body_mb=0.5).status_code == 415


def test_a_request_s_id_is_kept_if_it_is_harmless(bundle: Path) -> None:
    app = create_app(settings(bundle))
    names = ["order-17", "a b", "<script>", "x" * 65, "a\tb"]
    answers = sent(
        app, *[("GET", "/health/live", {"headers": {"X-Request-ID": name}}) for name in names]
    )
    found = [answer.headers["x-request-id"] for answer in answers]
    assert found[0] == "order-17"
    assert all(len(one) == 32 and one.isalnum() for one in found[1:])
    assert "server" not in answers[0].headers


def test_too_slow_an_answer_is_a_504_and_the_next_one_comes(bundle: Path) -> None:
    app = create_app(settings(bundle, timeout_s=0.3))
    service = app.state.service
    compute = service.engine.predictor.run
    service.engine.predictor.run = lambda inputs: (time.sleep(0.5), compute(inputs))[1]
    ask = ("POST", "/predict", {"content": PNG, "headers": KIND})

    async def run() -> list[int]:
        async with client(app) as asking:
            slow = await asking.request(ask[0], ask[1], **ask[2])
            service.engine.predictor.run = compute
            await asyncio.sleep(0.4)
            return [slow.status_code, (await asking.request(ask[0], ask[1], **ask[2])).status_code]

    assert asyncio.run(run()) == [504, 200]


def test_a_full_queue_is_a_503_that_says_when_to_come_back(bundle: Path) -> None:
    app = create_app(settings(bundle, queue=2, max_items=2, max_batch=1))
    compute = app.state.service.engine.predictor.run
    app.state.service.engine.predictor.run = lambda x: (time.sleep(0.05), compute(x))[1]
    answers = sent(app, *[("POST", "/predict", {"content": PNG, "headers": KIND})] * 12)
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 2
    assert all(a.headers["retry-after"] == "1" for a in answers if a.status_code == 503)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_batch": 0}, "max_batch: must be a number of at least 1, found 0"),
        ({"timeout_s": -1.0}, "timeout_s: must be above 0"),
        ({"port": 70_000}, "port: must be at most 65535"),
        ({"split": 0.5}, "split: 0.5 needs a second bundle"),
        ({"max_items": 300}, "max_items: a request of 300 inputs never fits a queue of 256"),
        ({"threads": "two"}, "threads: must be a number"),
        ({"api_key": ""}, "api_key: found a key that is empty"),
        ({"api_key": " "}, "api_key: found a key that is empty"),
        ({"api_key": "key\n"}, "api_key: found a key with white space around it"),
    ],
)
def test_settings_out_of_range_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Settings(Path(), **given)


def test_the_pixels_of_a_request_are_counted_before_the_first_is_decoded(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    form = {"files": [("files", ("a", grey_png(1000, 900)))] * 5}
    (response,) = sent(
        create_app(settings(bundle, max_pixels=1_000_000)), ("POST", "/predict", form)
    )
    assert response.status_code == 413
    assert "4500000 pixels together; at most 4000000" in response.json()["error"]["message"]


class Slow:
    """A decoder's ``read`` that waits for ``go``, but for small pictures."""

    def __init__(self, app: FastAPI) -> None:
        decoder = app.state.service.engine.decoder
        self.read, self.go = decoder.read, threading.Event()
        self.order: list[int] = []
        decoder.read = self

    def __call__(self, raw: bytes) -> Any:
        assert self.go.wait(10)
        self.order.append(len(raw))
        return self.read(raw)


def test_one_request_s_pictures_leave_room_between_them(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "cores", 1)
    app = create_app(settings(bundle))
    slow, big = Slow(app), png(noise(99, 99))

    async def run() -> list[httpx.Response]:
        async with client(app) as asking:
            many = asyncio.ensure_future(asking.post("/predict", files=[("files", ("a", big))] * 8))
            await asyncio.sleep(0.1)
            one = asyncio.ensure_future(asking.post("/predict", content=PNG, headers=KIND))
            await asyncio.sleep(0.1)
            told = [await asking.get(path) for path in ("/metrics", "/model/info")]
            slow.go.set()
            return [await many, await one, *told]

    assert [answer.status_code for answer in asyncio.run(run())] == [200] * 4
    assert slow.order.index(len(PNG)) <= 2
    assert len(slow.order) == 9


def test_what_waits_to_be_decoded_is_bounded(bundle: Path) -> None:
    app = create_app(settings(bundle, queue=2, max_items=2))
    slow = Slow(app)
    ask = {"content": PNG, "headers": KIND}

    async def run() -> list[int]:
        async with client(app) as asking:
            first = [asyncio.ensure_future(asking.post("/predict", **ask)) for _ in range(2)]
            await asyncio.sleep(0.1)
            third = await asking.post("/predict", **ask)
            slow.go.set()
            return [one.status_code for one in (third, *await asyncio.gather(*first))]

    assert asyncio.run(run()) == [503, 200, 200]


def test_many_large_bodies_leave_room_for_small_ones(bundle: Path) -> None:
    app = create_app(settings(bundle, max_body_mb=0.1))

    async def run() -> tuple[list[int], list[int]]:
        ended = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield bytes(99_990)
            await ended.wait()
            yield bytes(10)

        def large() -> asyncio.Future[httpx.Response]:
            headers = {**KIND, "Content-Length": "100000"}
            return asyncio.ensure_future(asking.post("/predict", content=slowly(), headers=headers))

        async with client(app) as asking:
            holding = [large() for _ in range(20)]
            await asyncio.sleep(0.1)
            small = [await asking.post("/predict", content=PNG, headers=KIND) for _ in range(3)]
            ended.set()
            held = await asyncio.gather(*holding)
            again = await asking.post("/predict", content=bytes(100_000), headers=KIND)
        return [one.status_code for one in [*small, again]], [one.status_code for one in held]

    found, held = asyncio.run(run())
    assert found == [200] * 3 + [415]
    assert set(held) == {415, 503}
    assert held.count(415) >= 8
