"""A loss or a gradient that is not finite stops the run before the weights move."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.errors import ConfigError, TrainingError
from burnish.learner.finite import Finite
from burnish.learner.module import ClassifierModule
from burnish.learner.tracing import find_origin, trace
from burnish.runs.weights import read_checkpoint

BATCH = 4


class Gate(nn.Module):
    """Hands everything on; turns to NaN where the first value of a sample is over a limit."""

    def __init__(self, limit: float = 100.0) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, :1] > self.limit, math.nan, x)


class RootOfNothing(nn.Module):
    """Finite forwards; the slope of the root at 0 is infinite."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (x - x.detach()).sqrt()


def net(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(3), nn.Identity(), *middle, nn.Linear(3, 2))


def samples(count: int = 24, **changed: tuple[int, float]) -> TensorDataset:
    torch.manual_seed(1)
    inputs = torch.randn(count, 3)
    for row, value in changed.values():
        inputs[row, 0] = value
    return TensorDataset(inputs, torch.arange(count) % 2)


def fit(
    folder: Path, module: ClassifierModule, data: TensorDataset, *callbacks: pl.Callback, **trainer
) -> pl.Trainer:
    made = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=str(folder),
        callbacks=list(callbacks), **trainer,
    )  # fmt: skip
    made.fit(module, DataLoader(data, BATCH))
    return made


def learner(body: nn.Module, **kwargs) -> ClassifierModule:
    def sgd(part: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(part.parameters(), lr=0.1)

    return ClassifierModule(body, nn.CrossEntropyLoss(), 2, optimizer=sgd, **kwargs)


class Weights(pl.Callback):
    """Copies of the parameters before each step."""

    def __init__(self) -> None:
        self.before: list[dict[str, Tensor]] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.before.append(copy.deepcopy(dict(pl_module.net.named_parameters())))


def test_the_step_is_stopped_and_kept_before_the_weights_move(tmp_path):
    # Batch normalisation would level a large value out: the gate looks at what comes before it.
    body = nn.Sequential(nn.Identity(), Gate(), nn.BatchNorm1d(3), nn.Linear(3, 2))
    module, weights = learner(body, card={"spec": {"a": 1}}), Weights()
    data = samples(large=(14, 500.0))
    with pytest.raises(TrainingError) as error:
        fit(tmp_path, module, data, weights, Finite())
    text = str(error.value)
    assert text.startswith("train/loss is nan at step 3: lower optimizer.lr")
    assert "the first output that is not finite: 1, fed values up to 500" in text
    assert f"burnish diagnose run={tmp_path}" in text
    saved = read_checkpoint(tmp_path / "nonfinite.pt")
    assert (saved["step"], saved["first_step"], saved["epoch"], saved["batch"]) == (3, 3, 0, 3)
    torch.testing.assert_close(saved["inputs"], data.tensors[0][12:16])
    torch.testing.assert_close(saved["targets"], data.tensors[1][12:16])
    assert saved["burnish"] == {"spec": {"a": 1}}
    for name, value in weights.before[3].items():
        assert torch.equal(saved["state_dict"][f"net.{name}"], value)
    assert not torch.equal(weights.before[3]["3.weight"], weights.before[2]["3.weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["nonfinite.pt"]


def test_the_input_is_named_where_it_is_to_blame(tmp_path):
    with pytest.raises(TrainingError) as error:
        fit(tmp_path, learner(net()), samples(a=(5, math.nan), b=(7, math.inf)), Finite())
    assert (
        "train/loss is nan at step 1: mend the data, the net is not to blame; the input is not "
        "finite: 2 values in sample 1, 3 of the batch" in str(error.value)
    )


def test_an_infinite_gradient_is_seen_if_asked_for(tmp_path):
    module, weights = learner(net(RootOfNothing())), Weights()
    with pytest.raises(TrainingError, match=r"finite at step 0, but not the gradients of 0\.wei"):
        fit(tmp_path / "a", module, samples(), weights, Finite(gradients=True))
    saved = read_checkpoint(tmp_path / "a" / "nonfinite.pt")
    for name, value in weights.before[0].items():
        assert torch.equal(saved["state_dict"][f"net.{name}"], value)
    # Without it the next loss tells, when the weights are lost.
    with pytest.raises(TrainingError, match=r"at step 1: .*the weights of 0\.weight, 0\.bias were"):
        fit(tmp_path / "b", learner(net(RootOfNothing())), samples(), Finite())


def test_looking_now_and_then_names_the_first_step_and_keeps_a_later_one(tmp_path):
    body = nn.Sequential(Gate(), nn.Linear(3, 2))
    with pytest.raises(TrainingError) as error:
        fit(tmp_path, learner(body), samples(48, large=(9, 500.0)), Finite(every_n_steps=5))
    assert str(error.value).startswith("train/loss is nan at step 2:")
    assert "What is kept is the batch of step 4" in str(error.value)
    saved = read_checkpoint(tmp_path / "nonfinite.pt")
    assert (saved["first_step"], saved["step"]) == (2, 4)


def test_the_end_of_an_epoch_is_looked_at_as_well(tmp_path):
    body = nn.Sequential(Gate(), nn.Linear(3, 2))
    with pytest.raises(TrainingError, match="at step 2:"):
        fit(tmp_path, learner(body), samples(large=(9, 500.0)), Finite(every_n_steps=100))


def test_every_batch_of_an_accumulated_step_is_looked_at(tmp_path):
    body = nn.Sequential(Gate(), nn.Linear(3, 2))
    module, data = learner(body), samples(large=(17, 500.0))
    with pytest.raises(TrainingError, match="at step 1:"):
        fit(tmp_path, module, data, Finite(), accumulate_grad_batches=3)
    saved = read_checkpoint(tmp_path / "nonfinite.pt")
    assert (saved["step"], saved["batch"]) == (1, 4)
    torch.testing.assert_close(saved["inputs"], data.tensors[0][16:20])


def test_nothing_is_changed_where_everything_is_finite(tmp_path):
    ends = []
    for callbacks in ((), (Finite(gradients=True),), (Finite(every_n_steps=4),)):
        module = learner(nn.Sequential(net(), nn.Dropout(0.5)))
        torch.manual_seed(2)
        fit(tmp_path, module, samples(), *callbacks)
        ends.append(module.state_dict())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name])
        assert torch.equal(value, ends[2][name])
    assert not [*tmp_path.iterdir()]


def test_a_run_that_cannot_keep_the_batch_still_says_why_it_stopped(tmp_path):
    (tmp_path / "nonfinite.pt").mkdir()
    with pytest.raises(TrainingError, match=r"not finite: 1 values(.|\n)*could not be kept"):
        fit(tmp_path, learner(net()), samples(a=(5, math.nan)), Finite())
    assert [path.name for path in tmp_path.iterdir()] == ["nonfinite.pt"]


def test_fast_dev_run_keeps_nothing(tmp_path):
    with pytest.raises(TrainingError, match="at step 0"):
        fit(tmp_path, learner(net()), samples(a=(1, math.nan)), Finite(), fast_dev_run=True)
    assert not [*tmp_path.iterdir()]


def test_without_the_callback_the_loss_is_refused_when_it_is_logged(tmp_path):
    with pytest.raises(TrainingError, match=r"at step 2: lower .*callbacks\.finite\.enabled=true"):
        fit(tmp_path, learner(net()), samples(a=(1, math.nan)), log_every_n_steps=2)


def test_a_frequency_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match=r"callbacks\.finite\.every_n_steps: must be a whole"):
        Finite(every_n_steps=0)


def test_a_trace_sees_what_the_layers_put_out_and_get_back():
    body = net(nn.ReLU(inplace=True))
    inputs, targets = samples(BATCH).tensors
    layers = {layer.name: layer for layer in trace(body, nn.CrossEntropyLoss(), inputs, targets,
                                                   backward=True)}  # fmt: skip
    assert list(layers) == ["0", "1", "2", "3", "the net's output", "the loss"]
    normed = nn.functional.batch_norm(inputs, None, None, training=True).requires_grad_()
    logits = body[3](normed.relu())
    nn.functional.cross_entropy(logits, targets).backward()
    assert layers["0"].largest == pytest.approx(float(normed.detach().abs().max()), rel=1e-5)
    assert layers["3"].largest == pytest.approx(float(logits.detach().abs().max()), rel=1e-5)
    assert normed.grad is not None
    assert layers["0"].gradient_largest == pytest.approx(float(normed.grad.abs().max()), rel=1e-4)
    assert {layer.wrong for layer in layers.values()} == {0}


def test_the_origin_of_a_lost_gradient_is_the_layer_that_loses_it():
    inputs, targets = samples(BATCH).tensors
    found = find_origin(net(RootOfNothing()), nn.CrossEntropyLoss(), inputs, targets, backward=True)
    assert found.kind == "gradient"
    assert found.sentence == "the gradients stop being finite going back through 2"
