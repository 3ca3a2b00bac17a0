from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from burnish.config.check import check_targets
from burnish.config.targets import ADMITTED, admitted_as_text, is_admitted, whitelist
from burnish.errors import ConfigError
from launch import ROOT, composed

GOOD = {
    "burnish.data.mnist.MNIST": "data",
    "burnish.data.augment.RandomCrop": "augment",
    "burnish.models.resnet.resnet18": "model",
    "burnish.models.mlp.MLP": "model",
    "burnish.nn.losses.FocalLoss": "loss",
    "torch.nn.CrossEntropyLoss": "loss",
    "torch.nn.modules.loss.NLLLoss": "loss",
    "torch.optim.AdamW": "optimizer",
    "torch.optim.Muon": "optimizer",
    "torch.optim.lr_scheduler.StepLR": "scheduler",
    "burnish.nn.schedules.warmup_cosine": "scheduler",
    "lightning.pytorch.Trainer": "trainer",
    "lightning.pytorch.profilers.PyTorchProfiler": "trainer",
    "lightning.pytorch.strategies.DDPStrategy": "trainer",
    "burnish.learner.checkpoint.BestAndLast": "callbacks",
    "lightning.pytorch.callbacks.EMAWeightAveraging": "callbacks",
    "lightning.pytorch.loggers.TensorBoardLogger": "logger",
}
# Refused in every slot.
BAD = [
    "os.system",
    "builtins.eval",
    "torch.load",
    "torch.hub.load",
    "torch.utils.cpp_extension.load",
    "torch.nn.init.constant_",
    "torch.nn.utils.parametrize.register_parametrization",
    "torch.optimum.Adam",
    "torchvision.models.get_model",
    "torchvision.models.resnet.ResNet18_Weights.get_state_dict",
    "lightning.pytorch.callbacks.ModelCheckpoint._link_checkpoint",
    "lightning.pytorch.callbacks.ModelCheckpoint.to_yaml",
    "lightning.pytorch.strategies.launchers.subprocess_script._SubprocessScriptLauncher",
    "lightning.pytorch.Trainer.fit",
    "lightning.pytorch.loggers.TensorBoardLogger.save",
    "burnish.commands.train.train",
    "burnish.data.images.ImageDataModule.setup",
    "burnish.models",
    "mypackage.Net",
    "",
    # Begin with an admitted package, end somewhere else.
    "burnish.data.cores.os.system",
    "burnish.data.image_cache.shutil.rmtree",
    "burnish.data.safe_pickle.pickle.loads",
    "burnish.data.mnist.Path.touch",
    "burnish.learner.checkpoint.os.mkdir",
    "torch.optim.optimizer.torch.load",
    "torch.optim.lr_scheduler.StepLR.__init__.__globals__",
]


@pytest.mark.parametrize("target", GOOD)
def test_a_slot_admits_what_belongs_there_and_nothing_else_does(target: str):
    for slot in ADMITTED:
        own = GOOD[target] == slot
        # Optimizer and scheduler, data and augmentation share their packages.
        if not own and not set(ADMITTED[slot]) & set(ADMITTED[GOOD[target]]):
            assert not is_admitted(target, slot), slot
    assert is_admitted(target, GOOD[target])


@pytest.mark.parametrize("target", BAD)
def test_the_rest_is_refused_everywhere(target: str):
    assert not [slot for slot in ADMITTED if is_admitted(target, slot)]


def test_every_target_of_conf_is_admitted():
    for group in ("data", "model", "loss", "optimizer", "scheduler", "augment", "logger"):
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            assert check_targets(composed("name=x", f"{group}={path.stem}")) == []


@pytest.mark.parametrize(
    "target", [t for t in BAD if t.count(".") > 3 and "burnish" in t and "Module" not in t]
)
def test_hydra_refuses_aliases_by_itself(target: str):
    patterns = [p for slot in ADMITTED for p in whitelist(slot)]
    with pytest.raises(InstantiationException):
        instantiate({"_target_": target}, _execution_whitelist_=patterns)


def test_an_alias_executes_nothing(tmp_path: Path):
    mark = tmp_path / "executed"
    for target, argument in (
        ("burnish.data.cores.os.system", f"touch {mark}"),
        ("burnish.data.cores.os.mkdir", str(mark)),
    ):
        with pytest.raises(InstantiationException):
            instantiate(
                {"_target_": target, "_args_": [argument]},
                _execution_whitelist_=whitelist("data"),
            )
    assert not mark.exists()
    # The same call with the alias admitted leaves its mark: the test would see an execution.
    name = "burnish.data.cores.os.mkdir"
    instantiate({"_target_": name, "_args_": [str(mark)]}, _execution_whitelist_=[name])
    assert mark.exists()


def test_a_nested_target_is_held_against_its_slot():
    config = composed("name=x")
    config["data"]["mean"] = {"_target_": "lightning.pytorch.Trainer"}
    config["trainer"]["plugins"] = {"_target_": "lightning.pytorch.plugins.MixedPrecision",
                                    "precision": "16-mixed", "device": "cpu"}  # fmt: skip
    (problem,) = check_targets(config)
    assert problem.startswith("data.mean._target_: 'lightning.pytorch.Trainer' is not admitted")


def test_every_loss_of_torch_goes_by_its_usual_name():
    from torch import nn

    names = [name for name in nn.modules.__all__ if name.endswith("Loss")]
    assert len(names) > 15
    assert all(is_admitted(f"torch.nn.{name}", "loss") for name in names)


def test_a_trusted_package_is_admitted():
    assert is_admitted("mypackage.nets.Net", "model", ["mypackage"])
    assert is_admitted("mypackage.Net", "data", ["other", "mypackage"])
    assert not is_admitted("mypackage2.Net", "model", ["mypackage"])
    assert not is_admitted("mypackage.__loader__", "model", ["mypackage"])
    assert whitelist("model", ["my.own"]) == (*ADMITTED["model"], "my.own", "my.own.*")


@pytest.mark.parametrize("name", ["", "*", "os.*", "a b", "a..b", ".a", "a/b", "1a"])
def test_trust_takes_package_names_only(name: str):
    with pytest.raises(ConfigError, match="trust: "):
        whitelist("model", [name])


def test_the_text_names_what_the_slot_admits():
    assert admitted_as_text("optimizer") == "classes of torch.optim, classes of burnish.nn"
    assert admitted_as_text("seed") == "nothing"
