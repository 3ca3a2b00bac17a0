"""burnish from Python: the configurations, refusals, runs and figures of the command line."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

import burnish
import tiny
from burnish.errors import ConfigError, DataError, RunError
from launch import TINY, composed, imported_by


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "a folder, with 'signs'"
    return burnish.fit(burnish.compose(*TINY), folder)


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    path = tiny.write_reviews(folder / "reviews.csv")
    experiment = burnish.compose(
        "data=text", f"data.path={path}", "model=text_cnn", "trainer=cpu", "trainer.max_epochs=1"
    )
    return burnish.fit(experiment, folder / "run")


def test_importing_burnish_imports_nothing_else():
    assert "hydra" not in imported_by("import burnish; assert 'compose' in burnish.__all__")
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        burnish.fitt  # noqa: B018


def test_an_experiment_is_what_the_command_line_composes():
    expected = composed(*TINY)
    expected.pop("search", None)
    assert burnish.compose(*TINY).config == expected


def test_the_name_is_made_of_the_choices():
    assert burnish.compose("data=mnist", "model=mlp").config["name"] == "mnist-mlp"


def test_all_mistakes_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        burnish.compose("model=mpl", "optimizer.lrr=1")
    assert [line.partition(":")[0] for line in error.value.problems] == ["model", "optimizer.lrr"]
    with pytest.raises(ConfigError, match=r"data\.batch_size"):
        burnish.compose("data.batch_size=many")


def test_a_run_tells_its_figures(run):
    assert run.metrics["test/accuracy"] > 0.2
    assert [point.epoch for point in run.curves["val/loss"]] == [0, 1]
    assert burnish.load_run(run.path / "checkpoints" / "best.ckpt").metrics == run.metrics


def test_a_run_goes_on_in_its_folder_from_a_checkpoint_of_it(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run.path, folder)
    last = folder / "checkpoints" / "last.ckpt"
    more = burnish.fit(burnish.compose(f"resume='{last}'", "trainer.max_epochs=3"))
    assert more.path == folder
    with pytest.raises(ConfigError, match="leave out folder"):
        burnish.fit(burnish.compose(f"resume='{last}'"), tmp_path / "other")
    assert [point.epoch for point in more.curves["val/loss"]] == [0, 1, 2]


def test_predictions_are_the_evaluation(run):
    images, labels = zip(*run.data.test_dataloader(), strict=True)
    images, labels = torch.cat(images), torch.cat(labels)
    predicted = run.predict(images, batch_size=100)
    accuracy = (predicted.classes == labels.numpy()).mean()
    assert accuracy == pytest.approx(run.metrics["test/accuracy"])
    assert predicted.probabilities.sum(1) == pytest.approx(1.0)
    loss = -np.log(predicted.probabilities[np.arange(len(labels)), labels.numpy()]).mean()
    assert loss == pytest.approx(run.metrics["test/loss"], rel=1e-4)
    assert predicted.labels == [str(i) for i in predicted.classes.tolist()]


def test_the_net_can_be_differentiated_after_a_prediction(run):
    again = burnish.load_run(run.path)
    images, labels = next(iter(again.data.test_dataloader()))
    again.predict(images[:2])
    loss = torch.nn.functional.cross_entropy(again.net(again.data.preprocess(images)), labels)
    loss.backward()
    assert all(p.grad is not None for p in again.net.parameters())


def test_texts_are_read_as_in_training(text_run):
    table, rows = text_run.data.splits["val"]
    texts = [table.texts[row] for row in rows.tolist()]
    with torch.inference_mode():
        expected = text_run.net(table.__getitems__(rows)[0]).softmax(1)
    np.testing.assert_allclose(text_run.predict(texts).probabilities, expected, atol=1e-6)


def test_inputs_of_another_kind_are_refused(run, text_run):
    for wrong in (torch.rand(2, 1, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(DataError, match=r"uint8 \[N, 1, height, width\]"):
            run.predict(wrong)
    with pytest.raises(DataError, match=r"no/picture\.png"):
        run.predict(["no/picture.png"])
    with pytest.raises(DataError, match="empty"):
        run.predict([])
    for wrong, told in (
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "list of texts"),
        ([1, 2], "a text must be a string, found int"),
        ([], "empty"),
    ):
        with pytest.raises(DataError, match=told):
            text_run.predict(wrong)
    assert len(text_run.predict("one text")) == 1


def test_a_run_is_loaded_to_predict_by_its_folder_too(run):
    images = next(iter(run.data.test_dataloader()))[0][:3]
    pictures = [image[0].numpy() for image in images]  # grey, [height, width]
    predicted = burnish.load_predictor(run.path).predict(pictures)
    np.testing.assert_array_equal(predicted.probabilities, run.predict(images).probabilities)


def test_a_run_that_is_none_is_refused(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        burnish.load_run(tmp_path / "none")


def test_a_strangers_run_executes_nothing(run, tmp_path):
    (tmp_path / "config.yaml").write_text(
        (run.path / "config.yaml").read_text().replace("burnish.models.mlp.MLP", "os.system")
    )
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"model\._target_"):
        burnish.load_run(tmp_path)
