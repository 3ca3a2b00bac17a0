"""A loss or a gradient that is not finite stops the run before the weights move."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing import ProcessRaisedException
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


def test_the_last_of_all_steps_is_looked_at_before_the_weights_move(tmp_path):
    module, weights = learner(nn.Sequential(Gate(), nn.Linear(3, 2))), Weights()
    with pytest.raises(TrainingError, match=r"at step 2:.*: 0, fed values up to 500"):
        fit(tmp_path, module, samples(48, large=(9, 500.0)), weights, Finite(every_n_steps=50),
            max_steps=3)  # fmt: skip
    saved = read_checkpoint(tmp_path / "nonfinite.pt")
    torch.testing.assert_close(saved["state_dict"]["net.1.bias"], weights.before[2]["1.bias"])


def test_a_training_that_is_told_to_stop_still_names_the_step(tmp_path):
    class Enough(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            trainer.should_stop = batch_idx == 3

    body = nn.Sequential(Gate(), nn.Linear(3, 2))
    with pytest.raises(TrainingError) as error:
        fit(tmp_path, learner(body), samples(48, large=(9, 500.0)), Finite(every_n_steps=50),
            Enough(), min_epochs=0)  # fmt: skip
    assert str(error.value).startswith("train/loss is nan at step 2:")
    assert "callbacks.finite.every_n_steps=1 keeps its batch" in str(error.value)
    assert not [*tmp_path.iterdir()]


def test_what_is_logged_was_looked_at(tmp_path):
    body = nn.Sequential(Gate(), nn.Linear(3, 2))
    with pytest.raises(TrainingError, match=r"at step 2:(.|\n)*the batch of step 3"):
        fit(tmp_path, learner(body), samples(48, large=(9, 500.0)), Finite(every_n_steps=50),
            log_every_n_steps=4)  # fmt: skip


def test_a_callback_that_is_there_is_not_recommended(tmp_path):
    class Blind(Finite):
        def on_before_backward(self, trainer, pl_module, loss) -> None:
            pass

    with pytest.raises(TrainingError) as error:
        fit(tmp_path, learner(net()), samples(a=(1, math.nan)), Blind())
    assert "callbacks.finite" not in str(error.value)
    assert "debug=anomaly" in str(error.value)


class OfTwo(Finite):
    """A bad batch for process 1; what each process raises goes into a file."""

    def __init__(self, *late: nn.Module) -> None:
        super().__init__(every_n_steps=1)
        self.late = late

    def on_train_start(self, trainer, pl_module) -> None:
        super().on_train_start(trainer, pl_module)
        pl_module.net.extend(self.late)  # DDP, made by now, would refuse some on a CPU

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if trainer.global_rank == 1:
            batch[0][2, 0] = 500.0

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        try:
            super().on_before_backward(trainer, pl_module, loss)
        except TrainingError as error:
            Path(trainer.default_root_dir, f"said{trainer.global_rank}").write_text(str(error))
            trainer.strategy.barrier()  # the first that ends has the others killed
            raise


def stopped_in_two(folder: Path, *late: nn.Module) -> list[str]:
    module = learner(nn.Sequential(Gate(), nn.Linear(3, 2)))
    with pytest.raises(ProcessRaisedException):
        fit(folder, module, samples(), OfTwo(*late), strategy="ddp_fork", devices=2)
    return [(folder / f"said{rank}").read_text() for rank in range(2)]


def test_of_two_processes_the_one_that_broke_keeps_its_batch(tmp_path):
    first, second = stopped_in_two(tmp_path)
    assert first.startswith("train/loss is nan at step 0 in process 1: ")
    assert "not finite: 0, fed values up to 500" in first
    assert second == "train/loss or a gradient is not finite: the first process says where"
    saved = read_checkpoint(tmp_path / "nonfinite.pt")
    assert first.startswith(saved["what"])
    assert (saved["rank"], float(saved["inputs"][2, 0])) == (1, 500.0)


def test_a_pass_that_waits_for_other_processes_is_not_begun_by_one(tmp_path):
    # In evaluation mode it runs on a CPU, which cannot share statistics.
    first, _ = stopped_in_two(tmp_path, nn.SyncBatchNorm(2, affine=False).eval())
    assert "its layers share statistics with other processes and are not searched" in first
    assert "layer by layer: burnish diagnose run=" in first


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


class Ways(nn.Module):
    """``b(log(a(x) - shift))``, beside a branch with large values."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.a, self.side, self.b = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.shift = shift
        nn.init.constant_(self.side.bias, 1e6)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x)
        side = self.side(x)
        return self.b((hidden - self.shift).log()) + side[:, :2]


def origin_of(body: nn.Module, loss: nn.Module | None = None) -> str:
    inputs, targets = samples(BATCH).tensors
    return find_origin(body, loss or nn.CrossEntropyLoss(), inputs, targets).sentence


def test_an_operation_between_layers_is_told_from_the_layer_after_it():
    torch.manual_seed(0)
    assert origin_of(Ways(1e9)) == ("what enters b is not finite: an operation between side and b")


def test_a_layer_is_told_with_its_own_input_not_that_of_another_branch():
    body = Ways(-7.0)
    body.b = nn.Sequential(nn.Identity(), Gate(0.1), nn.Linear(3, 2))
    inputs, _ = samples(BATCH).tensors
    fed = (body.a(inputs) + 7).log().abs().max().detach()
    assert origin_of(body).endswith(f"not finite: b.1, fed values up to {float(fed):.3g}")


def test_an_operation_after_the_last_layer_is_not_a_layers_doing():
    class Tail(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 0

    assert origin_of(Tail(nn.Linear(3, 2))) == (
        "the first output that is not finite: the net's output; the last layer that ran: 0"
    )


def test_what_net_and_loss_keep_is_looked_at():
    body = net()
    body[0].eval().running_var[1] = math.nan
    assert origin_of(body) == "0.running_var held NaN before this step"
    # In training the batch itself moves them, and they are not used.
    assert origin_of(body.train()) == "everything is finite in a second pass of the batch"
    body = net()
    body.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    assert origin_of(body) == "everything is finite in a second pass of the batch"
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, math.nan]))
    assert origin_of(body, weighted) == "loss.weight held NaN before this step"


def test_gradients_of_the_losss_own_parameters_are_named(tmp_path):
    module = learner(net())
    module.loss = Scaled()
    with pytest.raises(TrainingError, match=r"not the gradients of loss\.scale: lower"):
        fit(tmp_path, module, samples(), Finite(gradients=True))


class Scaled(nn.CrossEntropyLoss):
    """A loss with a parameter whose gradient is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().forward(logits, targets) + self.scale.sqrt()
