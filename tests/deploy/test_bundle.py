"""A bundle is whole and true, or is not there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bundles import image_bundle
from burnish.deploy.bundle import Bundle, Sample, is_bundle, read_bundle, write_card
from burnish.deploy.loading import runtime
from burnish.deploy.making import Trained, make_archive, make_bundle, staged
from burnish.deploy.predictor import of_bundle
from burnish.deploy.runtime import onnx_runtime, torch_runtime
from burnish.deploy.verify import Differs, verify
from burnish.errors import BundleError
from nets import IMAGES, net_of, trained


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Bundle]:
    folder = tmp_path_factory.mktemp("made")
    it = trained(net_of("mlp"), IMAGES, folder)
    return it, make_bundle(it, "onnx", folder / "bundle")


def test_it_holds_all_that_is_needed(made: tuple[Trained, Bundle]) -> None:
    it, bundle = made
    names = {path.name for path in bundle.path.iterdir()}
    assert names == {
        "model.onnx", "spec.json", "bundle.json", "sample.npz", "reference.json",
        "weights.safetensors", "config.yaml",
    }  # fmt: skip
    assert bundle.spec == IMAGES
    assert bundle.name == "a-run"
    weights = load_file(bundle.path / "weights.safetensors")
    assert weights.keys() == it.net.state_dict().keys()
    assert all(torch.equal(weights[key], value) for key, value in it.net.state_dict().items())
    card = bundle.card
    assert card["quantize"] == "none"
    assert card["bytes"] == bundle.file.stat().st_size
    assert {"burnish", "torch", "onnx", "onnxruntime"} <= card["versions"].keys()
    assert bundle.reference()["samples"] == 4


def test_its_sample_is_what_torch_says(made: tuple[Trained, Bundle]) -> None:
    it, bundle = made
    sample = bundle.sample
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (IMAGES.mean, IMAGES.std))
    inputs = torch.from_numpy(((sample.inputs / 255 - mean) / std).astype(np.float32))
    with torch.inference_mode():
        expected = it.net(inputs).numpy()
    np.testing.assert_allclose(sample.logits, expected, atol=1e-5)
    found = of_bundle(bundle).predict_read(sample.items).probabilities
    np.testing.assert_allclose(found, torch.tensor(expected).softmax(1).numpy(), atol=1e-5)


def test_what_was_verified_is_written_down(made: tuple[Trained, Bundle]) -> None:
    figures = made[1].card["verification"]
    assert figures["tolerance"] == 1e-4
    assert set(figures["batches"]) == {"1", "2", "7"}
    for worst in figures["batches"].values():
        assert 0 <= worst["absolute"] < 1e-4
        assert 0 <= worst["relative"] < 1e-4


def test_changed_weights_are_found(made: tuple[Trained, Bundle], tmp_path: Path) -> None:
    it, bundle = made
    net = onnx.load(str(bundle.file))
    weight = max(net.graph.initializer, key=lambda w: len(w.raw_data))
    values = onnx.numpy_helper.to_array(weight).copy()
    values *= 1.01
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(net, str(tmp_path / "model.onnx"))
    changed = Bundle(tmp_path, {"format": "onnx"})
    with pytest.raises(Differs, match=r"differ by .* for inputs"):
        verify(onnx_runtime(changed), torch_runtime(it.net), IMAGES, it.sample)


def test_a_net_that_is_not_a_number_is_found(made: tuple[Trained, Bundle]) -> None:
    expected = torch_runtime(made[0].net)
    with pytest.raises(Differs):
        verify(lambda x: expected(x) * np.float32("nan"), expected, IMAGES, made[0].sample)


@pytest.mark.parametrize(("off", "accepted"), [(3e-5, True), (3e-4, False)])
def test_the_tolerance_is_a_ten_thousandth(off, accepted, made: tuple[Trained, Bundle]) -> None:
    """Of logits around 0 the absolute part counts alone."""

    def expected(inputs):
        return np.zeros((len(inputs), 3), dtype=np.float32)

    def found(inputs):
        return expected(inputs) + np.float32(off)

    if accepted:
        batches = verify(found, expected, IMAGES, made[0].sample)["batches"]
        assert batches["7"]["absolute"] == pytest.approx(off, rel=1e-2)
    else:
        with pytest.raises(Differs, match=r"differ by 0\.0003"):
            verify(found, expected, IMAGES, made[0].sample)


def test_a_sample_without_answers_is_no_sample(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path)
    pixels = bundle.sample.inputs
    for inputs, logits in [
        (pixels, np.zeros((0, 3), dtype=np.float32)),
        (pixels[:0], np.zeros((0, 3), dtype=np.float32)),
        (pixels, np.zeros((3, 3), dtype=np.float32)),
        (pixels, np.zeros((4, 2), dtype=np.float32)),
        (pixels, np.zeros((4, 3), dtype=np.float64)),
        (pixels.astype(np.float32), np.zeros((4, 3), dtype=np.float32)),
    ]:
        Sample(inputs, logits).save(tmp_path / "sample.npz")
        with pytest.raises(BundleError, match="does not hold inputs"):
            _ = read_bundle(tmp_path).sample


def test_what_cannot_be_put_in_place_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    before = image_bundle(target).version
    rename, calls = Path.rename, []

    def second_fails(self: Path, other: Path) -> Path:
        calls.append(other)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(OSError, match="No space"), staged(target) as folder:
        image_bundle(folder, seed=1)
    assert read_bundle(target).version == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_is_a_persons_own_is_never_replaced(tmp_path: Path) -> None:
    image_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    told = r"output: .*notes\.txt is none of a bundle's files"
    with pytest.raises(BundleError, match=told), staged(tmp_path / "bundle"):
        pytest.fail("nothing may begin")
    assert (tmp_path / "bundle" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"class_names": ["a", "b", "c", "d"]}, r"answers \[2, 3\] to 2 inputs; .* 4 classes"),
        ({"height": 9}, r"fails for inputs \[2, 3, 9, 8\]"),
    ],
)
def test_a_net_of_another_spec_is_refused(changes, told, tmp_path: Path) -> None:
    spec = image_bundle(tmp_path).spec.to_dict() | changes
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    predictor = of_bundle(read_bundle(tmp_path), 1)
    with pytest.raises(BundleError, match=rf"model\.onnx: {told}") as caught:
        predictor.predict([np.zeros((spec["height"], 8, 3), np.uint8)] * 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"height": 0}, "height must be a whole number of at least 1, found 0"),
        ({"width": "32"}, "width must be a whole number"),
        ({"class_names": []}, "class names must be a list of texts"),
        ({"class_names": [1, 2, 3]}, "class names must be a list of texts"),
        ({"class_names": "abc"}, "class names must be a list of texts"),
        ({"mean": [float("nan")] * 3}, "mean and std must be finite"),
        ({"std": [0, 0, 0]}, "std must be greater than 0"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(changes, told, tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps(bundle.spec.to_dict() | changes))
    with pytest.raises(BundleError, match=rf"spec\.json: spec: {told}"):
        of_bundle(read_bundle(tmp_path))


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    bundle = image_bundle(tmp_path)
    net = onnx.load(str(bundle.file))
    onnx.save(net, str(bundle.file), save_as_external_data=True, location="w.bin", size_threshold=0)
    changed = write_card(tmp_path, "onnx", {"name": "x", "quantize": "none"})
    with pytest.raises(BundleError, match="keeps weights in other files"):
        runtime(changed)


class Pretender(nn.Module):
    """Computes something else as soon as it is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 32 * 32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(x.flatten(1))
        return logits + 0.01 if torch.compiler.is_exporting() else logits


def test_an_export_that_differs_leaves_nothing(tmp_path: Path) -> None:
    it = trained(Pretender().eval(), IMAGES, tmp_path)
    with pytest.raises(Differs, match=r"differ by 0\.01"):
        make_bundle(it, "torch_export", tmp_path / "export" / "bundle")
    assert not [*(tmp_path / "export").iterdir()]


def test_a_failed_export_leaves_the_bundle_that_was_there(tmp_path: Path) -> None:
    good = trained(nn.Sequential(nn.Flatten(), nn.Linear(3072, 3)).eval(), IMAGES, tmp_path)
    before = make_bundle(good, "torch_export", tmp_path / "bundle")
    with pytest.raises(Differs):
        make_bundle(
            trained(Pretender().eval(), IMAGES, tmp_path), "torch_export", tmp_path / "bundle"
        )
    after = read_bundle(tmp_path / "bundle")
    after.verify_hash()
    assert after.version == before.version
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "config.yaml"}


def test_only_a_bundle_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(BundleError, match="precious exists and is no bundle"),
        staged(tmp_path / "precious"),
    ):
        pytest.fail("it must be refused before the work")
    assert (tmp_path / "precious" / "thesis.tex").read_text() == "years of work"


def test_what_a_killed_export_left_is_swept_away(tmp_path: Path) -> None:
    old, young = (tmp_path / f".bundle.{name}.partial" for name in ("0123abcd", "4567abcd"))
    for left in (old, young):
        left.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    with staged(tmp_path / "bundle") as folder:
        (folder / "bundle.json").write_text("{}")
    assert not old.exists()
    assert young.exists()
    assert is_bundle(tmp_path / "bundle")


def test_a_file_that_was_exchanged_is_refused(made: tuple[Trained, Bundle], tmp_path: Path) -> None:
    archive = make_archive(made[1], tmp_path / "mar")
    with pytest.raises(BundleError, match="for other servers"):
        runtime(archive)
    archive.file.write_bytes(b"another")
    with pytest.raises(BundleError, match=r"not the file that bundle\.json was written for"):
        runtime(archive)


@pytest.mark.parametrize(
    "card",
    [
        "[]", "{", "{}", "\0", "[" * 100_000,
        '{"burnish_bundle": 1, "format": "exe", "sha256": "a"}',
        '{"burnish_bundle": 1, "format": ["onnx"], "sha256": "a"}',
        '{"burnish_bundle": true, "format": "onnx", "sha256": "a"}',
    ],
    ids=["list", "cut", "empty", "zero", "deep", "exe", "formats", "true"],
)  # fmt: skip
def test_a_card_that_is_none_is_refused(tmp_path: Path, card: str) -> None:
    (tmp_path / "bundle.json").write_text(card)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(tmp_path)


def test_a_bundles_card_is_json_for_anyone(made: tuple[Trained, Bundle]) -> None:
    text = (made[1].path / "bundle.json").read_text(encoding="utf-8")
    assert json.loads(text) == dict(made[1].card)
