"""predict: what the net says of files, rows and texts, in every format, and of those of no use."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import burnish
import burnish.spec
import tiny
from burnish.commands import predict as verb
from burnish.deploy.preprocess import preprocess
from deploy.bundles import (
    IMAGES,
    image_bundle,
    image_logits,
    probabilities,
    text_bundle,
    text_logits,
)
from launch import ROOT, TINY, environment, imported_by

PIXELS = np.random.default_rng(3).integers(0, 256, (12, 3, 6, 8), dtype=np.uint8)
SAID = probabilities(image_logits(PIXELS))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return image_bundle(tmp_path_factory.mktemp("bundles") / "images").path


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    return text_bundle(tmp_path_factory.mktemp("bundles") / "texts").path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """00.png to 11.png; 05.png is cut off, 08.png no picture."""
    folder = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate(PIXELS):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{i:02d}.png")
    cut = folder / "05.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (folder / "08.png").write_text("hello")
    return folder


GOOD = [i for i in range(12) if i not in (5, 8)]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("batch_size=1", "threads=1"), ("batch_size=5",)])
def test_json_lines_hold_what_the_net_says_and_what_could_not_be_read(
    typed, capsys, bundle: Path, photos: Path, words: tuple[str, ...]
) -> None:
    assert typed("predict", f"run={bundle}", f"input={photos}", "top=2", *words) == 1
    out, err = capsys.readouterr()
    rows = lines(out)
    assert [row["input"] for row in rows] == [str(photos / f"{i:02d}.png") for i in range(12)]
    for i in GOOD:
        names = list(IMAGES.class_names)
        assert list(rows[i]) == ["input", "class", "confidence", "top", "probabilities"]
        assert list(rows[i]["probabilities"]) == names
        np.testing.assert_allclose([*rows[i]["probabilities"].values()], SAID[i], rtol=1e-4)
        order = np.argsort(-SAID[i])[:2].tolist()
        assert [name for name, _ in rows[i]["top"]] == [names[k] for k in order]
        assert rows[i]["class"] == names[order[0]]
        assert [rows[i]["class"], rows[i]["confidence"]] == rows[i]["top"][0]
    assert rows[8] == {"input": str(photos / "08.png"), "error": "not an image"}
    assert set(rows[5]) == {"input", "error"}
    assert f"error: {photos / '08.png'}: not an image\n" in err
    assert "12 inputs in" in err
    assert "2 of them could not be read" in err


def test_csv_has_a_column_a_class(typed, capsys, bundle: Path, photos: Path) -> None:
    typed("predict", f"run={bundle}", f"input={photos}", "format=csv", "top=2")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    every = [[float(rows[i][f"probability of {n}"]) for n in IMAGES.class_names] for i in GOOD]
    np.testing.assert_allclose(every, SAID[GOOD], rtol=1e-4)
    second = [IMAGES.class_names[k] for k in np.argsort(-SAID[GOOD])[:, 1]]
    assert [rows[i]["class_2"] for i in GOOD] == second
    assert [row["error"] == "" for row in rows] == [i in GOOD for i in range(12)]
    assert rows[8]["class"] == ""
    typed("predict", f"run={bundle}", f"input={photos}", "format=csv", "top=0",
          "probabilities=false")  # fmt: skip
    assert capsys.readouterr().out.startswith("input,line,class,confidence,error\n")


def test_a_table_is_aligned(typed, capsys, bundle: Path, photos: Path) -> None:
    typed("predict", f"run={bundle}", f"input={photos}", "format=table", "top=3")
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["input", "class", "confidence", "next"]
    best = SAID[0].max()
    assert f"{best:.1%}" in rows[0]
    assert rows[0].index(f"{best:.1%}") + len(f"{best:.1%}") == heading.index("confidence") + 10
    assert "error: not an image" in rows[8]


def test_names_reach_the_output_whole_and_the_terminal_harmless(
    typed, capsysbinary, tmp_path: Path, bundle: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    odd = [b"a\nb.png", b"\xff.png", "\x9b31m.png".encode(), "猫\u2028.png".encode()]
    for name in odd:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"")
    assert typed("predict", f"run={bundle}", f"input={folder}") == 1
    out, err = capsysbinary.readouterr()
    rows = [json.loads(line) for line in out.decode().split("\n")[:-1]]
    assert {os.fsencode(Path(row["input"]).name) for row in rows} == set(odd)
    assert "\x9b" not in (out + err).decode()
    assert "猫".encode() in out
    typed("predict", f"run={bundle}", f"input={folder}", "format=csv")
    out, _ = capsysbinary.readouterr()
    assert len(list(csv.reader(io.StringIO(out.decode(), newline="")))) == 5


# --- texts ---------------------------------------------------------------------------------------


def test_texts_from_a_table_a_list_standard_input_and_the_command(
    typed, capsys, monkeypatch, tmp_path: Path, texts: Path
) -> None:
    given = ["abc", "hg fe", "z", "abcdefgh abcdefgh"]
    expected = probabilities(text_logits(given))
    (tmp_path / "t.csv").write_text("review\n" + "\n".join(given) + "\n")
    (tmp_path / "t.log").write_text("\n\n" + "\n".join(given) + "\n")
    piped = io.TextIOWrapper(io.BufferedReader(io.BytesIO("\n".join(given).encode())))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", piped)
    for words, first in (
        (["input=t.csv", "column=review"], 2), (["input=t.log"], 3), (["input=-"], 1),
    ):  # fmt: skip
        assert typed("predict", f"run={texts}", *words) == 0
        rows = lines(capsys.readouterr().out)
        assert [row["input"] for row in rows] == given
        assert [row["line"] for row in rows] == [*range(first, first + 4)]
        said = [[*row["probabilities"].values()] for row in rows]
        np.testing.assert_allclose(said, expected, rtol=1e-4)
    assert typed("predict", f"run={texts}", "text=hg fe", "probabilities=false", "top=0") == 0
    out, err = capsys.readouterr()
    assert list(json.loads(out)) == ["input", "class", "confidence"]
    assert json.loads(out)["confidence"] == pytest.approx(expected[1].max(), rel=1e-4)
    assert err == ""


def test_only_the_first_of_many_errors_are_named(typed, capsys, tmp_path, texts: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "abc"}\n' + '{"text": ""}\n' * 30)
    assert typed("predict", f"run={texts}", "input=t.jsonl") == 1
    out, err = capsys.readouterr()
    assert sum("error" in row for row in lines(out)) == 30
    assert err.count("error: ") == 20
    assert "and 10 more that could not be read" in err


def test_an_answer_that_is_no_number_is_an_error(typed, capsys, tmp_path, monkeypatch, texts):
    from burnish.deploy import predictor

    plain = predictor.softmax
    monkeypatch.setattr(predictor, "softmax", lambda x: np.where(x > 0, np.nan, plain(x)))
    (tmp_path / "t.txt").write_text("abc\nhg fe\nz\n")
    positive = (text_logits(["abc", "hg fe", "z"]) > 0).any(1)
    assert typed("predict", f"run={texts}", "input=t.txt") == 1
    rows = lines(capsys.readouterr().out)
    assert [row.get("error") == "the net's answer is not a number" for row in rows] == [*positive]


# --- output --------------------------------------------------------------------------------------


def test_files_are_replaced_only_if_asked_and_only_whole(
    typed, capsys, tmp_path: Path, texts: Path, monkeypatch
) -> None:
    words = (f"run={texts}", "text=abc", "output=said.jsonl")
    assert typed("predict", *words) == 0
    before = (tmp_path / "said.jsonl").read_text()
    assert lines(before)[0]["input"] == "abc"
    assert typed("predict", *words) == 2
    assert "output: said.jsonl exists; overwrite=true replaces it" in capsys.readouterr().err

    def stopped(*_: Any) -> Any:
        yield [verb.Answer(verb.Item("abc", "abc"), np.float32([0.5, 0.5]))]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verb, "answered", stopped)
        assert typed("predict", *words, "overwrite=true") == 130
    err = capsys.readouterr().err
    (partial,) = tmp_path.glob("said.jsonl.*.partial")
    assert f"stopped after 1 input; they lie in {partial.name}\n" in err
    assert (tmp_path / "said.jsonl").read_text() == before
    assert lines(partial.read_text())[0]["confidence"] == 0.5
    partial.unlink()
    assert typed("predict", *words, "overwrite=true", "format=csv") == 0
    assert (tmp_path / "said.jsonl").read_text().startswith("input,line,class")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["said.jsonl"]


def test_pipes_devices_and_links_stay_what_they_are(
    typed, capsys, tmp_path: Path, texts: Path
) -> None:
    pipe, link, there = tmp_path / "pipe", tmp_path / "link", tmp_path / "there"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert typed("predict", f"run={texts}", "text=abc", "output=pipe") == 0
    assert json.loads(os.read(reader, 1 << 16))["input"] == "abc"
    os.close(reader)
    assert pipe.is_fifo()
    there.write_text("before")
    link.symlink_to("there")
    assert typed("predict", f"run={texts}", "text=abc", "output=link") == 2
    assert "overwrite=true replaces it" in capsys.readouterr().err
    assert typed("predict", f"run={texts}", "text=abc", "output=link", "overwrite=true") == 0
    assert link.readlink() == Path("there")
    assert json.loads(there.read_text())["input"] == "abc"
    assert typed("predict", f"run={texts}", "text=abc", "output=/dev/stdout") == 0
    assert json.loads(capsys.readouterr().out)["input"] == "abc"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe", "there"]


def test_a_figure_goes_through_a_link_as_well(typed, tmp_path, bundle: Path, photos: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "a.png").symlink_to("there")
    words = (f"input={photos / '00.png'}", "figure=a.png", "overwrite=true")
    assert typed("predict", f"run={bundle}", *words) == 0
    assert (tmp_path / "a.png").is_symlink()
    assert (tmp_path / "there").read_bytes().startswith(b"\x89PNG")


def test_what_is_read_is_not_overwritten(
    typed, capsys, tmp_path: Path, bundle: Path, texts: Path, photos: Path
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes((photos / "00.png").read_bytes())
    (tmp_path / "hard.png").hardlink_to(picture)
    (tmp_path / "t.txt").write_text("abc\n")
    (tmp_path / "list.txt").write_text("hard.png\n")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for run, words, message in (
        (texts, ["input=t.txt", "output=./t.txt"], "output: t.txt is the input"),
        (bundle, ["input=a.png", "figure=hard.png"], "figure: hard.png is the input"),
        (bundle, ["input=list.txt", "figure=a.png"], "figure: a.png is one of the pictures"),
        (bundle, ["input=*.png", "output=a.png"], "output: a.png is one of the pictures"),
        (bundle, ["input=a.png", "output=b.png", "figure=./b.png"], "figure: is the file of outp"),
    ):
        assert typed("predict", f"run={run}", *words, "overwrite=true") == 2
        assert message in capsys.readouterr().err
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_full_disk_is_told_of_the_output(
    typed, capsys, tmp_path: Path, monkeypatch, texts: Path
) -> None:
    (tmp_path / "t.txt").write_text("abc\n" * 300)
    words = (f"run={texts}", "input=t.txt")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        assert typed("predict", *words, "output=a.jsonl") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    err = capsys.readouterr().err
    (partial,) = tmp_path.glob("a.jsonl.*.partial")
    assert "error: output: a.jsonl: File too large\n" in err
    assert f"; they lie in {partial.name}\n" in err
    reader, writer = os.pipe()
    with os.fdopen(reader, "wb", closefd=False) as unwritable, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(unwritable))
        assert typed("predict", *words) == 2
    assert "error: standard output: Bad file descriptor\n" in capsys.readouterr().err
    os.close(reader)
    os.close(writer)


def test_closed_streams_are_named(typed, capsys, monkeypatch, texts: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert typed("predict", f"run={texts}", "input=-") == 2
    assert "error: input: standard input is closed\n" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert typed("predict", f"run={texts}", "text=abc") == 2
    assert "error: output: standard output is closed" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert typed("predict", f"run={texts}", "text= ") == 1
        sys.stderr.close()
    assert lines(capsys.readouterr().out) == [{"input": " ", "error": "the text is empty"}]


def test_sigterm_ends_it_with_a_word(typed, capsys, tmp_path, monkeypatch, texts: Path) -> None:
    def ended(*_: Any) -> Any:
        yield [verb.Answer(verb.Item("abc", "abc"), np.float32([0.5, 0.5]))]
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(verb, "answered", ended)
    words = (f"run={texts}", "text=abc", "output=a")
    assert typed("predict", *words) == 128 + signal.SIGTERM
    (partial,) = tmp_path.iterdir()
    assert f"stopped after 1 input; they lie in {partial.name}\n" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "input: must be given"),
        (["input=a", "text=b"], "input: must be given"),
        (["text=a", "format=json"], "format: must be jsonl, csv, table, found 'json'"),
        (["text=a", "tta=flop"], "tta: must be none, flip"),
        (["text=a", "batch_size=0"], "batch_size: must be 1 to 65536, found 0"),
        (["text=a", f"batch_size={9**20}"], "batch_size: must be 1 to 65536"),
        (["text=a", "top=-1"], "top: must be at least 0"),
        (["text=a", "threads=-1"], "threads: must be 0 to"),
        (["text=a", "threads=100000"], "4 a core, found 100000"),
        (["text=a", "column=true"], "column: goes with input=, not with text=, found 'true'"),
        (["text=a", "figure=a.jpg"], "figure: must end in .png or .pdf"),
        (["text=a", "output=."], "output: . is a folder"),
        (["text=a", "output=no/where"], "output: there is no folder no"),
        (["text=a", "tta=flip"], "tta: flip mirrors images"),
        (["text=a", "figure=a.png"], "figure: shows pictures"),
        (["input=nowhere.csv"], "input: no such file: nowhere.csv"),
        (["input=a.json"], "input: a.json is JSON; use .jsonl, an object a line"),
        (["text=a", "inptu=b"], "did you mean input?"),
    ],
)
def test_mistakes_are_named(typed, capsys, tmp_path, texts: Path, words, message: str) -> None:
    assert typed("predict", f"run={texts}", *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_text_for_a_net_of_images_is_refused(typed, capsys, bundle: Path) -> None:
    assert typed("predict", f"run={bundle}", "text=abc") == 2
    assert "text: this net classifies images" in capsys.readouterr().err


def test_every_key_is_in_the_help(typed, capsys) -> None:
    assert typed("predict", "--help") == 0
    out = capsys.readouterr().out
    assert "python src/predict.py run=" in out
    assert "find -print0" in out


# --- views and figures ---------------------------------------------------------------------------


def test_flipping_averages_the_image_and_its_mirror_image(
    typed, capsys, tmp_path: Path, bundle: Path, photos: Path
) -> None:
    typed("predict", f"run={bundle}", f"input={photos}", "tta=flip")
    rows = lines(capsys.readouterr().out)
    mirrored = probabilities(image_logits(PIXELS[..., ::-1]))
    said = [[*rows[i]["probabilities"].values()] for i in GOOD]
    np.testing.assert_allclose(said, (SAID[GOOD] + mirrored[GOOD]) / 2, rtol=1e-4)
    digits = image_bundle(
        tmp_path / "digits", burnish.spec.ImageSpec(1, 4, 4, ("0", "1"), (0.5,), (0.5,), False)
    )
    assert typed("predict", f"run={digits.path}", f"input={photos}", "tta=flip") == 2
    assert "mirror is false" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_a_figure_shows_the_pictures(typed, tmp_path, bundle: Path, photos: Path, ending) -> None:
    assert typed("predict", f"run={bundle}", f"input={photos}", f"figure=a.{ending}") == 1
    content = (tmp_path / f"a.{ending}").read_bytes()
    assert content.startswith(b"\x89PNG" if ending == "png" else b"%PDF")


def test_a_figure_needs_matplotlib(typed, capsys, tmp_path, monkeypatch, bundle: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert typed("predict", f"run={bundle}", "input=a.png", "figure=b.png") == 2
    assert "error: figure: matplotlib is not installed: pip install" in capsys.readouterr().err


def test_no_figure_is_drawn_of_no_pictures(typed, tmp_path, bundle: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert typed("predict", f"run={bundle}", "input=a.png", "figure=b.png") == 1
    assert not (tmp_path / "b.png").exists()


# --- as in evaluation ----------------------------------------------------------------------------


def test_files_get_the_probabilities_of_evaluation(typed, capsys, tmp_path: Path) -> None:
    """Digits in memory, written as files: the run's own logits of its test split."""
    run = burnish.fit(burnish.compose(*TINY, "trainer.max_epochs=1"), tmp_path / "run")
    images, logits = _evaluated(run)
    folder = tmp_path / "digits"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / f"{i:04d}.png")
    said = _said(typed, capsys, f"run={run.path}", f"input={folder}")
    np.testing.assert_allclose(said, torch.softmax(logits, 1), rtol=1e-5, atol=1e-6)


def test_photographs_get_the_probabilities_of_evaluation(typed, capsys, tmp_path: Path) -> None:
    """JPEG and PNG files of odd sizes in a folder that a run was trained on."""
    root = tiny.write_image_folder(tmp_path / "data", size=(51, 37))
    run = burnish.fit(
        burnish.compose("data=image_folder", f"data.root={root}", "data.image_size=16",
                        "model=mlp", "trainer=cpu", "trainer.max_epochs=1"), tmp_path / "run",
    )  # fmt: skip
    _, logits = _evaluated(run)
    # The test split is sorted by class and path, as the folder is walked.
    said = _said(typed, capsys, f"run={run.path}", f"input={root / 'test'}")
    np.testing.assert_allclose(said, torch.softmax(logits, 1), rtol=1e-5, atol=1e-6)


def test_texts_get_the_probabilities_of_evaluation(typed, capsys, tmp_path: Path) -> None:
    table = tiny.write_reviews(tmp_path / "reviews.csv")
    run = burnish.fit(
        burnish.compose("data=text", f"data.path={table}", "model=text_cnn", "trainer=cpu",
                        "trainer.max_epochs=1"), tmp_path / "run",
    )  # fmt: skip
    source, rows = run.data.splits["test"]
    ids, _ = source.__getitems__(rows.tolist())
    with torch.inference_mode():
        logits = run.net(ids)
    lined = tmp_path / "test.txt"
    lined.write_text("\n".join(source.texts[row] for row in rows.tolist()), encoding="utf-8")
    said = _said(typed, capsys, f"run={run.path}", f"input={lined}")
    np.testing.assert_allclose(said, torch.softmax(logits, 1), rtol=1e-4, atol=1e-6)


def _evaluated(run: burnish.Run) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of the test split, and what the net says of what evaluation hands to it."""
    source, rows = run.data.splits["test"]
    images, _ = source.__getitems__(rows.tolist())
    with torch.inference_mode():
        return images, run.net(run.data.preprocess(images))


def _said(typed: Any, capsys: Any, *words: str) -> list[list[float]]:
    capsys.readouterr()
    assert typed("predict", *words) == 0
    return [[*row["probabilities"].values()] for row in lines(capsys.readouterr().out)]


def test_resizing_differs_from_images_in_memory_by_one_grey_level_at_most() -> None:
    """data.image_size on images in memory resizes with torch; files are resized by Pillow."""
    from burnish.data.normalise import resize

    pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    for side in (14, 20, 32, 48):
        spec = burnish.spec.ImageSpec(1, side, side, ("0", "1"), (0.5,), (0.5,))
        read = np.stack([preprocess(spec).read(image[0]) for image in pixels]).astype(int)
        assert np.abs(read - resize(torch.from_numpy(pixels), side, side).numpy()).max() <= 1


# --- processes -----------------------------------------------------------------------------------


def test_a_bundle_needs_neither_torch_nor_lightning_nor_hydra(bundle: Path, photos: Path) -> None:
    code = (
        "import sys\nfrom burnish.cli import command\n"
        f"sys.argv = ['predict', 'run={bundle}', 'input={photos}']\n"
        "try: command('predict')\nexcept SystemExit: pass"
    )
    loaded = imported_by(code)
    assert "onnxruntime" in loaded
    assert not {"torch", "lightning", "hydra", "matplotlib"} & loaded


def test_a_reader_that_has_enough_ends_it(tmp_path: Path, texts: Path) -> None:
    (tmp_path / "t.txt").write_text("abc\n" * 100_000)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "src" / "predict.py"), f"run={texts}", "input=t.txt"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["line"] == 1
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""
