"""What the event files hold after a run, and that the run went as it would have without."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import tiny
from burnish.build import build_data, build_module, build_trainer
from burnish.data import tokenize
from burnish.errors import ConfigError
from burnish.report import board_net, board_numbers, board_pictures, board_words
from burnish.report.board import Board
from burnish.report.board_samples import SHOWN
from burnish.report.board_validation import Validation
from burnish.spec import RESERVED, ImageSpec, TextSpec
from launch import TINY, assert_equal_weights, composed

ON = "callbacks.tensorboard.enabled=true"
SWITCHES = (
    "graph", "histograms", "inputs", "mistakes", "pr_curves", "confusion", "embeddings",
    "hparams", "config",
)  # fmt: skip


class Modes(Callback):
    """Notes the generator, the modes of the net and its head's gradient at every batch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, tuple[bool, ...]]] = []
        self.gradient = torch.empty(0)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        random = hash(torch.get_rng_state().numpy().tobytes())
        self.seen.append((random, tuple(m.training for m in pl_module.net.modules())))
        self.gradient = pl_module.net.head.weight.grad.clone()


def run(folder: Path, *overrides: str, test: bool = False) -> tuple[Any, Any, Modes]:
    """A training in this process; returns trainer, module and what was noted."""
    torch.manual_seed(0)
    config = composed(*TINY, *overrides)
    data, modes = build_data(config), Modes()
    module = build_module(config, data)
    trainer = build_trainer(config, folder, callbacks=[modes])
    trainer.fit(module, data)
    if test:
        trainer.test(module, data, verbose=False)
    return trainer, module, modes


def events(folder: Path) -> EventAccumulator:
    """Everything in the event files, nothing thinned out."""
    sizes = dict.fromkeys(("tensors", "images", "scalars", "histograms"), 0)
    return EventAccumulator(str(folder / "tensorboard"), sizes).Reload()


def text_of(found: EventAccumulator, tag: str, which: int = 0) -> str:
    return str(found.Tensors(f"{tag}/text_summary")[which].tensor_proto.string_val[0].decode())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any, Modes]:
    folder = tmp_path_factory.mktemp("images")
    options = ("model=simple_cnn", "augment=mixup", "callbacks.tensorboard.samples=50")
    return folder, *run(folder, ON, *options, test=True)


def test_a_run_with_all_of_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    options = ("model=cifar10_net", "augment=standard", "trainer.max_epochs=2")
    _, plain, without = run(tmp_path / "off", *options)
    _, shown, with_it = run(tmp_path / "on", ON, *options)
    assert_equal_weights(plain.state_dict(), shown.state_dict())
    assert with_it.seen == without.seen
    assert without.seen[0][1][0] is True


def test_every_tab_has_its_entry(images: tuple[Path, Any, Any, Modes]) -> None:
    folder, _, module, _ = images
    found = events(folder)
    tags = found.Tags()
    assert tags["graph"]
    assert set(tags["images"]) == {"train/inputs", "validation/mistakes", "validation/confusion"}
    assert len(found.Images("validation/confusion")) == 2  # epochs
    names = [name for name, _ in module.net.named_parameters()]
    wanted = {f"{kind}/{name}" for kind in ("weights", "gradients") for name in names}
    assert set(tags["distributions"]) == wanted
    curves = [tag for tag in tags["tensors"] if tag.startswith("precision_recall/")]
    assert curves == [f"precision_recall/{i:02d} {i}" for i in range(10)]
    config = text_of(found, "config")
    assert "    _target_: burnish.models.cnn.SimpleCNN" in config


def test_histograms_are_of_the_last_weights(images: tuple[Path, Any, Any, Modes]) -> None:
    folder, _, module, noted = images
    found = events(folder).Histograms("weights/head.weight")[-1].histogram_value
    weights = module.net.head.weight.detach().double()
    assert found.num == weights.numel() == sum(found.bucket)
    assert found.min == weights.min()
    assert found.max == weights.max()
    assert found.sum == pytest.approx(float(weights.sum()), abs=1e-4)
    counts, _ = np.histogram(weights.float().numpy(), 64)
    assert np.abs(np.asarray(found.bucket) - counts).sum() <= 4  # values at an edge
    gradients = events(folder).Histograms("gradients/head.weight")[-1].histogram_value
    assert gradients.max == pytest.approx(float(noted.gradient.max()))


def test_the_projector_shows_what_the_head_reads(images: tuple[Path, Any, Any, Modes]) -> None:
    folder, trainer, module, _ = images
    place = folder / "tensorboard" / f"{trainer.global_step:05d}" / "features"
    points = np.loadtxt(place / "tensors.tsv")
    source, rows = trainer.datamodule.splits["val"]
    chosen = rows[np.linspace(0, len(rows) - 1, 50).round().astype(int)]
    inputs, labels = source.__getitems__(chosen)
    net = module.net.eval()
    with torch.no_grad():
        expected = net.classifier(net.features(trainer.datamodule.preprocess(inputs)))
    np.testing.assert_allclose(points, expected.numpy(), atol=1e-4)
    assert (place / "metadata.tsv").read_text().split() == [str(int(i)) for i in labels]
    assert board_pictures.array((place / "sprite.png").read_bytes()).shape == (64, 64, 3)


def hparams_of(folder: Path) -> list[HParamsPluginData]:
    found = events(folder)
    tags = [tag for tag in found.summary_metadata if tag.startswith("_hparams_")]
    return [
        HParamsPluginData.FromString(found.summary_metadata[tag].plugin_data.content)
        for tag in sorted(tags)
    ]


def test_the_row_of_the_run_and_its_metrics(images: tuple[Path, Any, Any, Modes]) -> None:
    folder, trainer, _, _ = images
    end, start = hparams_of(folder)  # and no list of columns
    values = start.session_start_info.hparams
    assert values["optimizer.lr"].number_value == 1e-3
    assert values["model._target_"].string_value == "burnish.models.cnn.SimpleCNN"
    assert values["deterministic"].string_value == "false"
    assert not [key for key in values if key.startswith(("paths", "callbacks", "logger"))]
    assert end.session_end_info.status == 1  # success
    found = events(folder)
    last = found.Scalars("test/accuracy")[-1].value
    assert last == pytest.approx(float(trainer.callback_metrics["test/accuracy"]))
    best = trainer.checkpoint_callback.best
    assert found.Scalars("best/val/accuracy")[0].value == pytest.approx(best)


@pytest.mark.parametrize("alone", SWITCHES)
def test_each_switch_writes_its_own_and_nothing_else(tmp_path: Path, alone: str) -> None:
    off = [f"callbacks.tensorboard.{name}=false" for name in SWITCHES if name != alone]
    run(tmp_path, ON, *off, "trainer.max_epochs=1", "data.limit=64")
    found = events(tmp_path)
    tags = found.Tags()
    features = list((tmp_path / "tensorboard").rglob("tensors.tsv"))
    pictures, tensors = set(tags["images"]), " ".join(tags["tensors"])
    parts = {
        "graph": bool(tags["graph"]),
        "histograms": bool(tags["distributions"]),
        "inputs": "train/inputs" in pictures,
        "mistakes": "validation/mistakes" in pictures,
        "pr_curves": "precision_recall" in tensors,
        "confusion": "validation/confusion" in pictures,
        "embeddings": bool(features),
        "hparams": any(tag.startswith("_hparams_") for tag in found.summary_metadata),
        "config": "config" in tensors,
    }
    assert {name for name, there in parts.items() if there} == {alone}


def test_every_second_epoch(tmp_path: Path) -> None:
    often = "callbacks.tensorboard.every_n_epochs=2"
    run(tmp_path, ON, often, "trainer.max_epochs=5", "data.limit=64")
    found = events(tmp_path)
    for entries in (found.Images("validation/confusion"), found.Histograms("weights/head.bias")):
        assert [entry.step for entry in entries] == [4, 8]


def test_texts_are_shown_as_texts(tmp_path: Path) -> None:
    file = tiny.write_reviews(tmp_path / "reviews.csv", 200)
    data = ("data=text", f"data.path={file}", "data.tokenizer=word")
    run(tmp_path, ON, *data, "model=bag_of_embeddings", "data.limit=null")
    found = events(tmp_path)
    assert found.Tags()["graph"]
    assert found.Tags()["images"] == ["validation/confusion"]
    rows = text_of(found, "train/inputs").splitlines()
    assert len(rows) == SHOWN
    assert all(row.startswith(("- **0**  ", "- **1**  ")) for row in rows)
    assert any(word in " ".join(rows) for word in tiny.GOOD[0])
    assert "validation/mistakes/text_summary" in found.Tags()["tensors"]
    (metadata,) = (tmp_path / "tensorboard").rglob("metadata.tsv")
    with metadata.open(encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter="\t"))
    assert {row["class"] for row in table} == {"0", "1"}
    assert all("。" in row["text"] for row in table)


class Branching(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("depends on\nits input")
        return super().forward(x)


def test_a_graph_that_cannot_be_traced_is_no_reason_to_stop(tmp_path: Path, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(board_net, "say", said.append)
    writer = SummaryWriter(tmp_path / "tensorboard")
    board_net.graph(writer, Branching(2, 2), torch.zeros(3, 2))
    writer.close()
    assert len(said) == 1
    assert "callbacks.tensorboard.graph: this net cannot be traced: depends on its input" in said[0]
    assert not events(tmp_path).Tags()["graph"]


@pytest.mark.parametrize("logger", ["csv", "none"])
def test_without_tensorboard_it_does_nothing(tmp_path: Path, logger: str, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("burnish.report.board.say", said.append)
    run(tmp_path, ON, f"logger={logger}", "trainer.max_epochs=1", "data.limit=64")
    assert [line for line in said if "logger=tensorboard" in line] == said
    assert len(said) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_other_processes_write_nothing() -> None:
    class Trainer:
        is_global_zero = False

    board = Board()
    board.on_fit_start(Trainer(), None)  # type: ignore[arg-type]
    board.on_train_batch_start(Trainer(), None, (torch.zeros(1), torch.zeros(1)), 0)  # type: ignore
    assert board._writer is None


@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_numbers_that_make_no_sense_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^callbacks\.tensorboard\.samples: .* found"):
        Board(samples=value)


def test_the_surest_mistakes_of_all_batches() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(90, 4, generator=rng)
    truth = torch.randint(4, (90,), generator=rng)
    found = Validation(5)
    for rows in torch.arange(90).split(40):  # the last of them smaller
        found.add(rows.float()[:, None, None, None], logits[rows], truth[rows])
    sureness, said = logits.softmax(1).max(1)
    wrong = [i for i in sureness.argsort(descending=True).tolist() if said[i] != truth[i]][:5]
    assert found.mistakes.inputs.flatten().tolist() == wrong
    torch.testing.assert_close(found.mistakes.sureness, sureness[wrong])
    assert torch.equal(found.truth, truth)
    torch.testing.assert_close(found.probabilities, logits.softmax(1))


def test_mistakes_of_texts_of_several_lengths_and_of_mixed_targets() -> None:
    found = Validation(3)
    found.add(torch.tensor([[5, 6, 7]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.8, 0.2]]))
    found.add(torch.tensor([[8]]), torch.tensor([[0.0, 9.0]]), torch.tensor([0]))
    found.add(torch.tensor([[9, 9]]), torch.tensor([[0.0, 9.0]]), torch.tensor([1]))  # right
    assert found.mistakes.inputs.tolist() == [[8, 0, 0], [5, 6, 7]]
    assert found.mistakes.said.tolist() == [1, 1]


def test_confusion_counts_what_scikit_learn_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    usual = board_pictures.normalised
    monkeypatch.setattr(
        board_pictures, "normalised", lambda m, *rest: (seen.append(m), usual(m, *rest))[1]
    )
    truth, said = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 0, 0, 2])
    picture = board_pictures.confusion(truth, said, ("蚂蚁", "b", "c"))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(seen[0], confusion_matrix(truth, said))


def test_pixels_undo_the_normalisation() -> None:
    spec = ImageSpec(3, 4, 4, ("a",), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (spec.mean, spec.std))
    normalised = (images / 255 - mean) / std
    np.testing.assert_array_equal(board_pictures.pixels(normalised, spec), images.numpy())


def test_tiles_hold_the_images_in_order() -> None:
    values = [20, 90, 160, 230]
    images = np.stack([np.full((1, 8, 8), v, np.uint8) for v in values])
    grey = board_pictures.tiles("Title", images, ["a", "b\nc", "蚂蚁", "$x_1$"]).astype(int)
    found = [np.argwhere((grey == v).all(-1)).mean(0) for v in values]
    assert all(np.isfinite(place).all() for place in found)
    assert found[0][1] < found[1][1] < found[2][1]
    assert found[3][0] > found[0][0]
    assert found[3][1] == pytest.approx(found[0][1], abs=2)


def test_what_is_not_finite_is_left_out_of_histograms() -> None:
    class Writer:
        def __init__(self) -> None:
            self.written: dict[str, Any] = {}

        def add_histogram_raw(self, tag: str, **values: Any) -> None:
            self.written[tag] = values

    writer: Any = Writer()
    board_numbers.histogram(writer, "some", torch.tensor([1.0, math.nan, math.inf, 3.0]), 0)
    board_numbers.histogram(writer, "equal", torch.zeros(5), 0)
    board_numbers.histogram(writer, "none", torch.tensor([math.nan]), 0)
    assert writer.written.keys() == {"some", "equal"}
    some, equal = writer.written["some"], writer.written["equal"]
    assert (some["num"], some["min"], some["max"], some["sum"]) == (2, 1.0, 3.0, 4.0)
    assert some["sum_squares"] == 10.0
    assert (equal["min"], equal["max"], sum(equal["bucket_counts"])) == (0.0, 0.0, 5)


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_ids_become_the_text_again(kind: Any) -> None:
    texts = ["服务很好 good room", "房间太差 bad room"]
    spec = tokenize.fit(texts, ("a", "b"), kind=kind, vocabulary_size=300)
    ids, lengths = tokenize.tokenizer(spec).encode(texts)
    padded = torch.nn.functional.pad(torch.from_numpy(ids[: lengths[0]]).long(), (0, 3))
    shown = board_words.readable(padded, spec)
    assert shown.replace(" ", "") == texts[0].replace(" ", "")
    assert "good room" in shown
    unknown = TextSpec(("a",), "char", (*RESERVED, "x"), 4)
    assert board_words.readable(torch.tensor([2, 1, 0]), unknown) == "x<unk>"


def test_no_text_becomes_markdown_or_html() -> None:
    shown = board_words.literal("<b>*a*</b>|\n`x` [l](u)\x1b")
    assert shown == r"&lt;b&gt;\*a\*&lt;/b&gt;\| \`x\` \[l\]\(u\)\\x1b"
    assert board_words.bullets([("a*", "b"), ("c", "d\ne")]) == "- **a\\***  b\n- **c**  d e"
    assert len(board_words.literal("x" * 1000)) == board_words.LONGEST


def test_the_head_is_the_layer_named_so_or_the_last_linear_one() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.other = nn.Linear(1, 1), nn.Linear(1, 1)

    named = Named()
    assert board_net.head_of(named) is named.head
    several = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU())
    assert board_net.head_of(several) is several[1]
    assert board_net.head_of(nn.ReLU()) is None
