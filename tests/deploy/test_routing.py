import asyncio
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import image_bundle, image_logits, text_bundle
from burnish.deploy.bundle import Bundle
from burnish.deploy.service.app import create_app
from burnish.deploy.service.refusal import busy
from burnish.deploy.service.routing import Shadow, check_pair, in_background, share_of
from burnish.deploy.service.service import Seen
from burnish.errors import BundleError
from burnish.spec import ImageSpec, TextSpec
from serving import client, noise, png, settings

FIRST, SECOND = np.float32([0.9, 0.1]), np.float32([0.2, 0.8])  # probabilities of a and b


@dataclass
class Stub:
    """An engine that answers one thing, in its own way."""

    row: Any = None
    seconds: float = 0.0
    error: Exception | None = None
    seen: list[Any] = field(default_factory=list)

    async def answer(self, item):
        self.seen.append(item)
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return self.row


def seen(item: Any) -> Seen:
    return Seen("id", "key", bundle("A", texts("a", "b")), item, FIRST, 1.0)


def bundle(name: str, spec) -> Bundle:
    made = Bundle(Path(name), {"sha256": name.encode().hex() * 32, "format": "onnx"})
    made.__dict__["spec"] = spec  # where cached_property keeps it
    return made


def images(*classes: str, size: int = 8, channels: int = 1) -> ImageSpec:
    return ImageSpec(channels, size, size, classes, (0.5,) * channels, (0.5,) * channels)


def texts(*classes: str) -> TextSpec:
    return TextSpec(classes, "char", ("<pad>", "<unk>", "a"), 8)


def compared(engine: Stub, items: int, **limits) -> Counter[str]:
    """What a shadow counts for items that the first engine answered with FIRST."""
    counts: Counter[str] = Counter()

    async def run() -> None:
        shadow = Shadow(engine, lambda outcome: counts.update([outcome]), **limits)
        for item in range(items):
            shadow.see(seen(item))
        await asyncio.sleep(0.1)

    asyncio.run(run())
    return counts


def test_a_shadow_counts_agreement_and_disagreement_of_the_likeliest_class():
    assert compared(Stub(np.float32([0.6, 0.4])), 5) == {"agreed": 5}
    assert compared(Stub(SECOND), 5) == {"disagreed": 5}


def test_a_shadow_that_fails_is_counted():
    assert compared(Stub(error=ValueError("broken")), 3) == {"failed": 3}
    assert compared(Stub(error=busy("the queue is full")), 3) == {"dropped": 3}


def test_a_slow_shadow_is_bounded_in_number_and_time():
    assert compared(Stub(seconds=9), 10, limit=4, timeout_seconds=0.02) == {
        "dropped": 6,
        "failed": 4,
    }


def test_showing_the_shadow_never_waits_for_it():
    async def run() -> list[Any]:
        slow = Stub(seconds=9)
        Shadow(slow, lambda outcome: None).see(seen("item"))
        return list(slow.seen)  # not even its first line ran before see() returned

    assert asyncio.run(run()) == []


def test_shares_of_keys_are_uniform():
    shares = [share_of(f"user-{i}") for i in range(5000)]
    # Binomial(5000, 0.1): a standard deviation is 21.
    assert abs(sum(share < 0.1 for share in shares) - 500) < 90
    assert max(shares) < 1


def test_the_share_of_a_key_is_the_same_in_every_process():
    code = "from burnish.deploy.service.routing import share_of; print(share_of('用户-7'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) == share_of("用户-7")
    # By hand: the first eight bytes of SHA-256 of "abc" are ba7816bf8f01cfea.
    assert share_of("abc") == 0xBA7816BF8F01CFEA / 2**64


@pytest.mark.parametrize(
    ("one", "other", "split", "words"),
    [
        (images("a", "b"), texts("a", "b"), 0.0, "one takes images, the other texts"),
        (images("a", "b"), images("b", "a"), 0.1, r"different classes, \[a, b\] and \[b, a\]"),
        (images("a", "b"), images("a", "b", size=9), 0.0, "pictures of 1x8x8 and 1x9x9"),
    ],
)
def test_a_pair_that_cannot_stand_in_is_refused_by_name(one, other, split, words):
    with pytest.raises(BundleError, match=words) as caught:
        check_pair(bundle("A", one), bundle("B", other), split)
    assert "A (run)" in str(caught.value)
    assert "B (shadow)" in str(caught.value)


def test_a_bundle_beside_itself_is_refused():
    one = bundle("A", texts("a", "b"))
    with pytest.raises(
        BundleError, match=r"A \(run\) and A \(shadow\): are the same version, 4141"
    ):
        check_pair(one, one, 0.5)


def test_a_pair_that_fits():
    check_pair(bundle("A", images("a", "b")), bundle("B", images("a", "b")), 0.0)
    check_pair(bundle("A", images("a", "b")), bundle("B", images("a", "b", size=9)), 0.1)
    check_pair(bundle("A", texts("a", "b")), bundle("B", texts("a", "b")), 0.0)


PICTURES = [noise(seed=seed) for seed in range(30)]
# The likeliest class of each, by hand, of bundles of two seeds.
BEST = [image_logits(np.stack(PICTURES).transpose(0, 3, 1, 2), seed=s).argmax(1) for s in (0, 1)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return image_bundle(folder / "A", seed=0), image_bundle(folder / "B", seed=1)


def answers(pair, **given):
    """Answers to all pictures, what /model/info says then, and the metrics."""
    first, second = pair

    async def run():
        app = create_app(settings(first.path, shadow=second.path, **given))
        async with client(app) as asking:
            told = []
            for i, picture in enumerate(PICTURES):
                headers = {"content-type": "image/png", "x-request-key": f"user-{i}"}
                answer = await asking.post("/predict", content=png(picture), headers=headers)
                told.append(answer.json())
            await asyncio.sleep(0.2)
            info = (await asking.get("/model/info")).json()
            return told, info, (await asking.get("/metrics")).text

    return asyncio.run(run())


def test_a_shadow_sees_the_traffic_and_the_answers_are_the_firsts(pair):
    first, second = pair
    told, info, metrics = answers(pair)
    names = first.spec.class_names
    assert {answer["model"]["version"] for answer in told} == {first.version}
    assert [answer["predictions"][0]["class"] for answer in told] == [names[i] for i in BEST[0]]
    agreed = int((BEST[0] == BEST[1]).sum())
    assert 0 < agreed < len(PICTURES)
    counts = {"agreed": agreed, "disagreed": len(PICTURES) - agreed, "failed": 0, "dropped": 0}
    assert info["shadow"] == {"name": "handmade", "version": second.version, **counts}
    assert (
        f'burnish_shadow_total{{outcome="agreed",version="{second.version}"}} {agreed}.0' in metrics
    )


def test_a_split_divides_by_the_key_and_each_answer_names_its_model(pair):
    told, info, metrics = answers(pair, split=0.4)
    of_second = [share_of(f"user-{i}") < 0.4 for i in range(len(PICTURES))]
    for i, (answer, second) in enumerate(zip(told, of_second, strict=True)):
        bundle, best = (pair[second], BEST[second])
        assert answer["model"]["version"] == bundle.version
        assert answer["predictions"][0]["class"] == bundle.spec.class_names[best[i]]
    assert info["split"] == {"name": "handmade", "version": pair[1].version, "share": 0.4}
    count = f'burnish_predictions_total{{outcome="answered",version="{pair[1].version}"}}'
    assert f"{count} {sum(of_second)}.0" in metrics


def test_a_split_takes_pictures_of_different_sizes(pair, tmp_path):
    spec = replace(pair[0].spec, height=5, width=5)
    other = image_bundle(tmp_path, spec)
    told, *_ = answers((pair[0], other), split=1.0)
    assert {answer["model"]["version"] for answer in told} == {other.version}


def test_a_shadow_that_is_not_ready_does_not_matter(pair, tmp_path):
    broken = image_bundle(tmp_path, seed=1)
    saved = dict(np.load(tmp_path / "sample.npz"))
    np.savez(tmp_path / "sample.npz", **{**saved, "logits": saved["logits"] + 1})

    async def ready(**given) -> int:
        app = create_app(settings(pair[0].path, shadow=broken.path, **given))
        async with client(app) as asking:
            return (await asking.get("/health/ready")).status_code

    assert asyncio.run(ready()) == 200
    assert asyncio.run(ready(split=0.1)) == 503  # it answers people


def test_a_second_bundle_of_another_kind_ends_the_start(pair, tmp_path):
    texts = text_bundle(tmp_path / "texts")
    with pytest.raises(BundleError, match=r"A \(run\) and .*texts \(shadow\): one takes images"):
        create_app(settings(pair[0].path, shadow=texts.path))


def test_a_shadow_computes_at_the_lowest_priority_and_the_caller_keeps_its_own():
    def priority(_):
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    mine = priority(None)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_background(priority), None).result() == 19
    assert priority(None) == mine
