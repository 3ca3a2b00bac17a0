"""The pages of the service: complete, without the network, and deaf to hostile names."""

import asyncio
import base64
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from bundles import image_bundle
from burnish.deploy.predictor import of_bundle
from burnish.deploy.service.app import create_app
from burnish.deploy.service.charts import Dot, bar, curve
from burnish.deploy.service.monitor import drawn, knows
from burnish.deploy.service.page import FILES, FOLDER
from burnish.deploy.watch.log import Row, append, label, open_log
from burnish.deploy.watch.reference import make_reference
from burnish.deploy.watch.statistics import digest, statistics
from burnish.deploy.watch.summary import Settings, summarise
from burnish.runs.folder import RunFolder
from serving import client, noise, png, settings

VOID = {"meta", "link", "img", "input", "br"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return image_bundle(tmp_path_factory.mktemp("images"))


def asked(bundle, asks, **given):
    async def run():
        async with client(create_app(settings(bundle.path, **given))) as asking:
            return await asks(asking)

    return asyncio.run(run())


class Reader(HTMLParser):
    """What is on a page; fails where tags do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.text = [], set(), [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_and_its_files_need_no_key_and_no_network(images):
    for address, (name, media_type) in FILES.items():
        answer = asked(images, lambda c, path=address: c.get(path), api_key="secret")
        assert answer.status_code == 200
        assert answer.content == (FOLDER / name).read_bytes()
        assert answer.headers["content-type"] == media_type
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        links = re.findall(r"https?://[^\s\"']+", answer.text)
        assert links in ([], ["http://www.w3.org/2000/svg"])


def test_every_file_that_the_page_asks_for_is_served():
    html = (FOLDER / "index.html").read_text()
    asked_for = re.findall(r'(?:src|href)="(page/[^"]+)"', html)
    assert {f"/{path}" for path in asked_for} == set(FILES) - {"/"}


def test_the_page_is_whole_and_its_fields_have_labels():
    html = (FOLDER / "index.html").read_text()
    page = Reader(html)
    assert len(page.ids) == len(set(page.ids))
    labelled = {value for name, value in page.attributes if name == "for"}
    assert labelled == {"key", "text", "label"}  # the files' labels lie around them
    # Nothing that the policy would refuse.
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]
    assert re.search(r"<script(?! src)", html) is None


def test_the_script_finds_what_it_asks_for_and_writes_no_markup():
    script = (FOLDER / "page.js").read_text()
    ids = set(Reader((FOLDER / "index.html").read_text()).ids)
    assert set(re.findall(r'\$\("(\w+)"\)', script)) <= ids
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_the_page_knows_whether_feedback_is_taken(images, tmp_path):
    silent = asked(images, lambda c: c.get("/model/info")).json()
    assert "feedback" not in silent
    logged = asked(images, lambda c: c.get("/model/info"), log=tmp_path / "log.sqlite").json()
    assert logged["feedback"] is True


def test_without_a_log_the_monitor_says_so(images):
    answer = asked(images, lambda c: c.get("/monitor"))
    assert answer.status_code == 200
    assert "keeps no log" in Reader(answer.text).text


def test_the_monitor_takes_the_key_as_a_password(images):
    def status(**request):
        return asked(images, lambda c: c.get("/monitor", **request), api_key="sécret").status_code

    assert status() == 401
    assert status(headers={"authorization": basic("x:wrong")}) == 401
    assert status(headers={"authorization": basic("anybody:sécret")}) == 200
    refused = asked(images, lambda c: c.get("/monitor"), api_key="sécret")
    assert refused.headers["www-authenticate"].startswith("Basic ")


def basic(pair):
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!", "Basic eDp4", "Bearer key", "Basic é"])
def test_what_is_no_key(header):
    assert not knows("key", header)


def test_the_monitor_shows_what_was_logged(images, tmp_path):
    body = png(noise())

    async def asks(asking):
        for _ in range(3):
            await asking.post("/predict", content=body, headers={"content-type": "image/png"})
        await asyncio.sleep(0.5)
        return await asking.get("/monitor")

    answer = asked(images, asks, log=tmp_path / "log.sqlite")
    text = Reader(answer.text).text
    assert "3 from" in text
    assert "1 distinct inputs" in text
    assert "Not tested: the bundle has no reference" in text
    assert "猫<b>" in text  # the class's name, as text
    assert "<b>" not in re.sub(r"<b>[\d.]+ %</b>", "", answer.text)


def logged(bundle, path, changed):
    """A log of 90 inputs, of which the last 30 are changed; each tenth with feedback."""
    predictor = of_bundle(bundle, 1)
    rng = np.random.default_rng(3)
    items = list(rng.integers(0, 256, (390, 3, 6, 8), dtype=np.uint8))
    RunFolder(bundle.path).write_json("reference", make_reference(predictor, items[:300]))
    some = [*items[300:360], *map(changed, items[360:])]
    answers = predictor.predict_read(some)
    now = time.time()
    rows = [
        Row(
            str(i), now - 900 + 10 * i, bundle.version, digest(item), answers.labels[i],
            float(answers.confidence[i]), 2.0, statistics(predictor.preprocess, item),
        )
        for i, item in enumerate(some)
    ]  # fmt: skip
    connection = open_log(path)
    append(connection, rows, 1000, 10**7)
    for i in range(0, 90, 10):
        label(connection, str(i), answers.labels[i], now)
    connection.close()
    return summarise(path, bundle, Settings(window=30))


@pytest.mark.parametrize(
    ("changed", "verdict", "odd"),
    [(lambda x: x, "No drift found", 0), (lambda x: x // 4, "Drift: ", 1)],
    ids=["same", "darkened"],
)
def test_the_monitor_tells_drift(tmp_path, changed, verdict, odd):
    bundle = image_bundle(tmp_path / "bundle")
    html = drawn(logged(bundle, tmp_path / "log.sqlite", changed), [0.5] * 9)
    page = Reader(html)
    assert verdict in page.text
    assert "3 windows of 30 distinct inputs against 300 samples" in page.text
    assert "100.0 %" in page.text  # of 9 with feedback, all of it "right"
    assert "of 9 with feedback" in page.text
    # Brightness fell in the newest window alone.
    brightness = html.partition("<figcaption>brightness")[2].partition("</figure>")[0]
    assert brightness.count('class="odd"') == odd
    assert brightness.count("<circle") == 3
    assert not [name for name, _ in page.attributes if name == "style"]


def test_a_curve_is_drawn_to_scale():
    svg = curve([Dot(0, 0, "low"), Dot(1, 2, "<high>", True)], 2.0, ("a", "b"), 'a "b" & c')
    circles = re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', svg)
    (_, left, bottom), (kind, right, top) = circles
    assert kind == "odd"
    assert float(left) < float(right)
    lines = re.findall(r'y1="([\d.]+)"', svg)  # the axis at 0, half and the top
    assert [float(lines[0]), float(lines[2])] == [float(bottom), float(top)]
    assert "<title>&lt;high&gt;</title>" in svg
    assert 'aria-label="a &quot;b&quot; &amp; c"' in svg


def test_a_bar_is_as_long_as_its_share():
    assert 'width="50.00"' in bar(0.5)
    assert "path" not in bar(0.5)
    assert 'd="M99.00 0V10"' in bar(0.5, reference=1.0)
