from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from burnish.config.signatures import Signature, TargetNotFound, find_signature
from burnish.config.source import Module, locate, names_in
from burnish.config.values import misfit

TARGETS = [
    *(f"torch.optim.{name}" for name in ("SGD", "Adam", "AdamW", "RMSprop", "Muon", "NAdam")),
    "torch.optim.lr_scheduler.StepLR",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torch.optim.lr_scheduler.ReduceLROnPlateau",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torch.optim.lr_scheduler.LambdaLR",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.Linear",
    "torch.nn.Conv2d",
    "torch.nn.Sequential",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.callbacks.EarlyStopping",
    "lightning.pytorch.callbacks.LearningRateMonitor",
    "lightning.pytorch.callbacks.EMAWeightAveraging",
    "lightning.pytorch.callbacks.StochasticWeightAveraging",
    "lightning.pytorch.callbacks.RichModelSummary",
    "lightning.pytorch.loggers.TensorBoardLogger",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.pytorch.profilers.PyTorchProfiler",
    "torchmetrics.Accuracy",
    "torchmetrics.classification.MulticlassAccuracy",
    "torchvision.models.resnet18",
    "torchvision.models.efficientnet_b0",
    "torchvision.transforms.v2.RandomCrop",
    "burnish.data.mnist.MNIST",
    "burnish.data.image_folder.ImageFolder",
    "burnish.models.resnet.resnet18",
    "burnish.models.mlp.MLP",
    "burnish.nn.losses.FocalLoss",
    "burnish.nn.schedules.warmup_cosine",
    "burnish.spec.ImageSpec",
]

# (name, kind, may be left out)
Row = tuple[str, str, bool]


def imported_rows(target: str) -> list[Row]:
    """What inspect says of the imported object, without **kwargs."""
    parts = target.split(".")
    found = importlib.import_module(parts[0])
    for index, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:index]))
        found = getattr(found, part)
    return [
        (p.name, p.kind.name, p.default is not p.empty or p.kind is p.VAR_POSITIONAL)
        for p in inspect.signature(found).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    ]


def static_rows(signature: Signature) -> list[Row]:
    return [(p.name, p.kind, p.has_default) for p in signature.parameters]


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def found(target: str) -> Signature:
    signature = find_signature(target)
    assert signature is not None
    return signature


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Writes a package that is importable during the test, under a name used nowhere else."""
    name = f"written_for_{request.node.name.partition('[')[0]}"
    monkeypatch.syspath_prepend(tmp_path)

    def write(**files: str) -> str:
        for stem, text in {"__init__": "", **files}.items():
            path = tmp_path / name / f"{stem.replace('__SLASH__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return name

    yield write
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


@pytest.mark.parametrize("target", TARGETS)
def test_agrees_with_the_imported_object(target: str):
    rows = imported_rows(target)
    signature = found(target)
    own = static_rows(signature)
    assert own[: len(rows)] == rows
    # What follows was found behind **kwargs, of which inspect says nothing.
    assert {(kind, optional) for _, kind, optional in own[len(rows) :]} <= {("KEYWORD_ONLY", True)}
    assert Path(signature.where).is_file()


PACKAGES = [
    "torch.optim",
    "torch.nn.modules",
    "lightning.pytorch.callbacks",
    "torchmetrics.classification",
    "torchvision.ops",
    "torchvision.transforms.v2",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_agrees_with_every_class_of_the_packages_that_configurations_use(package: str):
    module = locate(package)
    assert isinstance(module, Module)
    compared = 0
    # Decorated as deprecated, which hides its arguments from inspect.
    names = set(names_in(module) or ()) - {"Container", "NLLLoss2d"}
    for target in (f"{package}.{name}" for name in names if name[0].isupper()):
        signature = find_signature(target)
        if signature is not None:
            rows = imported_rows(target)
            assert static_rows(signature)[: len(rows)] == rows, target
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("package", PACKAGES)
def test_no_library_contradicts_its_own_defaults(package: str):
    """A literal default that did not fit its annotation would be a value wrongly refused."""
    module = locate(package)
    assert isinstance(module, Module)
    judged = 0
    for name in names_in(module) or ():
        signature = find_signature(f"{package}.{name}") if name[0].isupper() else None
        for parameter in signature.parameters if signature else ():
            try:
                default = ast.literal_eval(parameter.default or "")
            except (SyntaxError, ValueError):
                continue
            if default is not ...:
                assert misfit(default, parameter) is None, (name, parameter)
                judged += 1
    assert judged > 20


def test_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from burnish.config.signatures import find_signature\n"
        "from burnish.config.targets import is_admitted\n"
        f"for target in {TARGETS!r}:\n"
        "    assert find_signature(target) is not None, target\n"
        "    is_admitted(target, 'loss')\n"
        "heavy = {'torch', 'torchvision', 'lightning', 'torchmetrics', 'numpy', 'hydra'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert run_python(code) == "[]"


def test_metrics_take_what_their_base_reads_out_of_kwargs():
    signature = found("torchmetrics.classification.MulticlassAccuracy")
    names = {parameter.name for parameter in signature.parameters}
    assert {"num_classes", "sync_on_compute", "compute_on_cpu"} <= names
    # The base class raises for anything else, so the list is complete.
    assert not signature.accepts_any_keyword


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torch.optim.AdmW", "torch.optim has no 'AdmW'; did you mean 'AdamW'?"),
        ("torch.nn.CrossEntropLoss", "did you mean 'CrossEntropyLoss'?"),
        ("lightning.pytorch.callbacks.EarlyStoping", "did you mean 'EarlyStopping'?"),
        ("burnish.models.resnet.resnet81", "did you mean 'resnet18'?"),
        ("burnish.modles.resnet.resnet18", "did you mean 'models'?"),
        ("no_such_package_at_all.Net", "there is no module 'no_such_package_at_all'"),
        ("burnish.models.resnet", "is a module"),
        ("burnish..models", "not a dotted name"),
        ("", "not a dotted name"),
    ],
)
def test_refuses_what_does_not_exist(target: str, message: str):
    with pytest.raises(TargetNotFound) as caught:
        find_signature(target)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        "torch.Tensor.add",  # compiled
        "torch._C.Generator",
        "torch.nn.Parameter",  # a metaclass
        "torch.nn.functional.conv2d",  # assigned from a call
        "torchvision.models.ResNet18_Weights.DEFAULT",  # a value in a class
        "torch.nonsense",  # torch has a module-level __getattr__
        "math.sqrt",
    ],
)
def test_says_nothing_where_source_does_not_tell(target: str):
    assert find_signature(target) is None


def test_follows_imports_aliases_and_branches(package):
    name = package(
        __init__="from .inner import *\nfrom . import other as renamed\n",
        inner="""
            from __future__ import annotations
            from typing import TYPE_CHECKING, overload
            __all__ = ["net", "Alias", "late", "chosen"]
            if TYPE_CHECKING:
                from .missing import late
            else:
                from .other import late
            try:
                from no_such_package_here import fast as chosen
            except ImportError:
                from .other import late as chosen
            @overload
            def net(spec: int) -> int: ...
            def net(spec, /, width=1, *rest, depth): ...
            def unlisted(): ...
            class Net:
                def __init__(self, spec, *, width: int = 2): ...
                @staticmethod
                def make(spec): ...
                @classmethod
                def from_file(cls, path, *, strict=True): ...
            Alias = Net
        """,
        other="def late(b): ...\n",
    )
    for target in ("net", "Alias", "late", "Alias.make", "Alias.from_file", "renamed.late"):
        full = f"{name}.{target}"
        assert static_rows(found(full)) == imported_rows(full), target
    assert find_signature(f"{name}.chosen") is None  # a package that is not installed
    with pytest.raises(TargetNotFound):
        find_signature(f"{name}.unlisted")


def test_dataclasses(package):
    name = package(
        boxes="""
            import dataclasses
            from dataclasses import KW_ONLY, InitVar, dataclass, field
            from typing import ClassVar
            @dataclass
            class Base:
                first: int
                second: list = field(default_factory=list)
                shared: ClassVar[int] = 3
                hidden: int = field(init=False, default=0)
            @dataclasses.dataclass(frozen=False)
            class Child(Base):
                third: str = "x"
                second: int = 4
                once: InitVar[int] = 5
                _: KW_ONLY
                named: float
        """
    )
    for target in ("Base", "Child"):
        full = f"{name}.boxes.{target}"
        assert static_rows(found(full)) == imported_rows(full)


def test_keyword_arguments_passed_on_to_bases(package):
    name = package(
        nets="""
            import no_such_package_here
            class Base:
                def __init__(self, size, *, scale=1.0): ...
            class Forwards(Base):
                def __init__(self, depth, **kwargs):
                    super().__init__(**kwargs)
            class Keeps(Base):
                def __init__(self, depth, **options):
                    super().__init__(3)
                    self.options = options
            class Refuses:
                def __init__(self, depth, **kwargs):
                    self.width = kwargs.pop("width", 1)
                    if kwargs:
                        raise TypeError(kwargs)
            class Foreign(no_such_package_here.Base):
                def __init__(self, depth, **kwargs):
                    super().__init__(**kwargs)
            class Inherits(no_such_package_here.Base): ...
            class Bare: ...
            class Diamond(Forwards, Refuses): ...
        """
    )

    def names(target: str) -> tuple[list[str], bool]:
        signature = found(f"{name}.nets.{target}")
        return [p.name for p in signature.parameters], signature.accepts_any_keyword

    assert names("Forwards") == (["depth", "size", "scale"], False)
    # size may be given by the subclass: it is taken, but never called missing.
    assert [p.has_default for p in found(f"{name}.nets.Forwards").parameters] == [False, True, True]
    assert names("Keeps") == (["depth"], True)
    assert names("Refuses") == (["depth", "width"], False)
    assert names("Foreign") == (["depth"], True)
    assert names("Bare") == ([], False)
    assert names("Diamond") == (["depth", "size", "scale"], False)
    assert find_signature(f"{name}.nets.Inherits") is None


def test_modules_that_import_from_each_other(package):
    name = package(
        one="from .two import shared, nothing\ndef here(a): ...\n",
        two="from .one import here, nothing\nfrom .one import *\ndef shared(b): ...\n",
    )
    assert [p.name for p in found(f"{name}.one.shared").parameters] == ["b"]
    assert [p.name for p in found(f"{name}.two.here").parameters] == ["a"]
    assert find_signature(f"{name}.one.nothing") is None


def test_names_made_at_run_time_are_not_called_missing(package):
    name = package(
        lazy="def __getattr__(name): ...\n",
        filled="globals().update(net=print)\n",
        broken="def net(:\n",
        plain="def net(): ...\n",
    )
    for module in ("lazy", "filled", "broken"):
        assert find_signature(f"{name}.{module}.net2") is None
    with pytest.raises(TargetNotFound, match="did you mean 'net'"):
        find_signature(f"{name}.plain.net2")


def test_nothing_of_a_package_is_executed(package, tmp_path: Path):
    mark = tmp_path / "executed"
    text = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\ndef net(spec): ...\n"
    name = package(__init__=text, inner=text)
    assert [p.name for p in found(f"{name}.inner.net").parameters] == ["spec"]
    assert [p.name for p in found(f"{name}.net").parameters] == ["spec"]
    assert not mark.exists()
