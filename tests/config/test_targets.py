from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from burnish.config.targets import ADMITTED, admitted_as_text, is_admitted, whitelist
from burnish.errors import ConfigError

GOOD = [
    "burnish.models.resnet.resnet18",
    "burnish.data.mnist.MNIST",
    "burnish.nn.losses.FocalLoss",
    "burnish.learner.checkpoint.BestAndLast",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.modules.linear.Linear",
    "torch.optim.AdamW",
    "torch.optim.Muon",
    "torch.optim.lr_scheduler.StepLR",
    "torchvision.models.get_model",
    "torchvision.models.resnet.resnet18",
    "torchvision.ops.DropBlock2d",
    "torchvision.transforms.v2.RandomCrop",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.callbacks.EMAWeightAveraging",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.profilers.PyTorchProfiler",
    "lightning.pytorch.strategies.DDPStrategy",
    "lightning.pytorch.plugins.MixedPrecision",
    "torchmetrics.Accuracy",
    "torchmetrics.classification.MulticlassF1Score",
]
BAD = [
    "os.system",
    "builtins.eval",
    "torch.load",
    "torch.hub.load",
    "torch.utils.cpp_extension.load",
    "torch.nn.parallel.DataParallel",
    "torch.nn.DataParallel",
    "torch.nn.utils.parametrize.register_parametrization",
    "torch.optimum.Adam",
    "torchvision.models.WeightsEnum.get_state_dict",
    "torchvision.models.resnet.WeightsEnum.get_state_dict",
    "torchvision.models.resnet.ResNet18_Weights.get_state_dict",
    "torchvision.models.resnet.Weights",
    "lightning.pytorch.strategies.launchers.subprocess_script._SubprocessScriptLauncher",
    "lightning.pytorch.trainer.trainer.Trainer",
    "lightning.pytorch.Trainer.fit",
    "torchmetrics.text.BERTScore",
    "burnish.commands.train.train",
    "burnish.models",
    "mypackage.Net",
    "",
]
# Begin with an admitted package, end somewhere else.
ALIASES = [
    "burnish.data.base.os.system",
    "burnish.data.image_cache.shutil.rmtree",
    "burnish.data.safe_pickle.pickle.loads",
    "burnish.data.mnist.Path.touch",
    "burnish.learner.checkpoint.os.mkdir",
    "torch.optim.optimizer.torch.load",
    "torch.optim.lr_scheduler.StepLR.__init__.__globals__",
]


@pytest.mark.parametrize("target", GOOD)
def test_admits_what_a_training_names(target: str):
    assert is_admitted(target)


@pytest.mark.parametrize("target", [*BAD, *ALIASES])
def test_refuses_the_rest(target: str):
    assert not is_admitted(target)


@pytest.mark.parametrize("target", ALIASES)
def test_hydra_refuses_aliases_by_itself(target: str):
    with pytest.raises(InstantiationException):
        instantiate({"_target_": target}, _execution_whitelist_=whitelist())


def test_an_alias_executes_nothing(tmp_path: Path):
    mark = tmp_path / "executed"
    for target, argument in (
        ("burnish.data.base.os.system", f"touch {mark}"),
        ("burnish.data.base.os.mkdir", str(mark)),
    ):
        with pytest.raises(InstantiationException):
            instantiate(
                {"_target_": target, "_args_": [argument]}, _execution_whitelist_=whitelist()
            )
    assert not mark.exists()
    # The same call with the alias admitted leaves its mark: the test would see an execution.
    name = "burnish.data.base.os.mkdir"
    instantiate({"_target_": name, "_args_": [str(mark)]}, _execution_whitelist_=[name])
    assert mark.exists()


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1},
        {"_target_": "torch.optim.Muon", "_partial_": True},
        {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/loss"},
        {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "nowhere"},
        {"_target_": "torchmetrics.Accuracy", "task": "multiclass", "num_classes": 3},
        {"_target_": "torchvision.models.get_model", "name": "squeezenet1_1"},
        {"_target_": "torchvision.transforms.v2.RandomCrop", "size": 8},
        {"_target_": "lightning.pytorch.plugins.MixedPrecision", "_partial_": True},
        {"_target_": "lightning.pytorch.strategies.DDPStrategy"},
    ],
    ids=lambda node: node["_target_"],
)
def test_hydra_builds_what_is_admitted(node: dict[str, object]):
    assert is_admitted(str(node["_target_"]))
    instantiate(node, _execution_whitelist_=whitelist())


def test_hydra_admits_every_net_that_torchvision_classifies_with():
    from torchvision import models

    names = models.list_models(module=models)
    assert len(names) > 70
    for package in {models.get_model_builder(name).__module__ for name in names}:
        assert f"{package}.*" in ADMITTED


def test_every_loss_and_layer_of_torch_goes_by_its_usual_name():
    from torch import nn

    assert all(is_admitted(f"torch.nn.{name}") for name in nn.modules.__all__)


def test_a_trusted_package_is_admitted():
    assert is_admitted("mypackage.nets.Net", ["mypackage"])
    assert is_admitted("mypackage.Net", ["other", "mypackage"])
    assert not is_admitted("mypackage2.Net", ["mypackage"])
    assert not is_admitted("mypackage.__loader__", ["mypackage"])
    assert whitelist(["my.own"])[-2:] == ("my.own", "my.own.*")
    assert whitelist()[: len(ADMITTED)] == ADMITTED


@pytest.mark.parametrize("name", ["", "*", "os.*", "a b", "a..b", ".a", "a/b", "1a"])
def test_trust_takes_package_names_only(name: str):
    with pytest.raises(ConfigError, match="trust: "):
        whitelist([name])


def test_the_text_names_every_root():
    text = admitted_as_text()
    for pattern in ADMITTED:
        root = ".".join(pattern.split(".")[:2])
        assert root in text or pattern.startswith("torchmetrics."), pattern
