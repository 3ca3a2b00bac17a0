"""``burnish export`` from the words that are typed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import burnish
from burnish.commands.exporting import (
    data_of,
    items_of,
    kept,
    made_up,
    ready_bundle,
    trained,
)
from burnish.commands.opened import open_run
from burnish.deploy.bundle import read_bundle, sha256
from burnish.deploy.predictor import of_bundle
from burnish.errors import BundleError, DataError
from burnish.spec import RESERVED, TextSpec
from launch import TINY

Typed = Callable[..., object]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return burnish.fit(burnish.compose(*TINY), tmp_path_factory.mktemp("fitted")).path


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    """A copy that a test may write into."""
    return Path(shutil.copytree(fitted, tmp_path / "run"))


def test_a_run_becomes_a_bundle_that_is_used_again(
    run: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("export", f"run={run}") == 0
    said = capsys.readouterr()
    assert "run/export/onnx" in said.out
    assert "at batch 1, 2, 7" in said.out
    assert not said.err
    assert "Warning" not in said.out
    bundle = read_bundle(run / "export" / "onnx")
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert bundle.card["source"]["checkpoint_sha256"] == sha256(checkpoint)
    assert bundle.reference()["samples"] > 100  # of the digits' validation split
    whole = burnish.load_run(run)
    assert (
        of_bundle(bundle).predict_read(bundle.sample.items).labels
        == whole.predict(torch.from_numpy(bundle.sample.inputs)).labels
    )

    written = (bundle.path / "bundle.json").stat().st_mtime_ns
    assert ready_bundle(str(run)).version == bundle.version
    assert (bundle.path / "bundle.json").stat().st_mtime_ns == written
    assert typed("export", f"run={bundle.path}") == 2
    assert "is a bundle already" in capsys.readouterr().err

    saved = torch.load(checkpoint, weights_only=True)  # trained on: the bundle is of yesterday
    saved["state_dict"] = {k: v * 1.5 for k, v in saved["state_dict"].items()}
    torch.save(saved, checkpoint)
    assert kept(bundle.path, checkpoint) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["format=onxx"], "format: must be one of onnx, torchscript"),
        (["quantize=int4"], "quantize: must be one of none, dynamic, static"),
        (["format=torchscript", "quantize=static"], "quantize: is for format=onnx, mar and all"),
        (["max_drop=2"], "max_drop: must lie in [0, 1], found 2.0"),
        (["checkpoint=first"], "checkpoint: must be best or last"),
        (["data.rot=x"], "data.rot: there is no such key; did you mean data.root?"),
    ],
)
def test_mistakes_are_named(
    fitted: Path, typed: Typed, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert typed("export", f"run={fitted}", *words) == 2
    assert expected in capsys.readouterr().err
    assert not (fitted / "export").exists()


def test_output_is_never_somebody_elses_folder(
    fitted: Path, typed: Typed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert typed("export", f"run={fitted}", "format=torchscript", "output=mine") == 2
    assert "output: mine exists and is no bundle" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_without_data_there_is_a_made_up_sample_and_no_reference(fitted: Path) -> None:
    opened = open_run(str(fitted))
    it = trained(opened, None)
    assert it.validation is None
    assert [item.shape for item in it.sample] == [(1, 8, 8)] * 4
    texts = TextSpec(("a", "b"), "word", (*RESERVED, "good", "bad"), 9)
    assert all(set(text.split()) <= {"good", "bad"} for text in made_up(texts))
    opened.config["data"] |= {"_target_": "burnish.data.mnist.MNIST", "root": "nowhere"}
    for key in set(opened.config["data"]) - {"_target_", "root"}:
        del opened.config["data"][key]
    data, reason = data_of(opened, {})
    assert data is None
    assert "nowhere" in reason
    with pytest.raises(DataError):  # a place that was typed must hold it
        data_of(opened, {"root": "elsewhere"})


def test_items_of_a_split_are_those_of_evaluation(fitted: Path) -> None:
    data, _ = data_of(open_run(str(fitted)), {})
    source, rows = data.splits["val"]
    images = source.__getitems__(rows.tolist())[0].numpy()
    items = [*items_of(data, "val")]
    assert len(items) == len(rows)
    assert sorted(item.tobytes() for item in items) == sorted(image.tobytes() for image in images)
    assert [i.tobytes() for i in items_of(data, "val", 5)] == [i.tobytes() for i in items[:5]]


def test_a_damaged_bundle_is_none_to_a_run_and_an_error_by_itself(run: Path) -> None:
    folder = run / "export" / "onnx"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{")
    assert kept(folder, run / "checkpoints" / "best.ckpt") is None
    with pytest.raises(BundleError, match=r"bundle\.json: is not JSON"):
        ready_bundle(str(folder))
