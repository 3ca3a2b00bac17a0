from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from burnish.config.arguments import check_arguments
from burnish.config.signatures import Parameter, Signature, find_signature

ADAMW = "torch.optim.AdamW"
TRAINER = "lightning.pytorch.Trainer"
STEP = "torch.optim.lr_scheduler.StepLR"


def problems(path: str, target: str, arguments: dict[str, Any] | None = None, **options: Any):
    signature = find_signature(target)
    assert signature is not None
    return check_arguments(path, {"_target_": target, **(arguments or {})}, signature, **options)


def check_value(annotation: str | None, value: Any, default: str | None = None) -> list[str]:
    """Problems of ``node.x`` annotated like that, said from ``node.x: `` on."""
    parameter = Parameter("x", "KEYWORD_ONLY", default, annotation, "lightning.pytorch")
    signature = Signature((parameter,), accepts_any_keyword=False, where="")
    lines = check_arguments("node", {"_target_": "f", "x": value}, signature)
    assert all(line.startswith("node.x: ") for line in lines)
    return [line.removeprefix("node.x: ") for line in lines]


# --- names ------------------------------------------------------------------------------------


def test_an_unknown_argument_is_named_with_its_neighbour():
    assert problems("optimizer", ADAMW, {"_partial_": True, "lrr": 0.1}) == [
        "optimizer.lrr: torch.optim.AdamW takes no argument 'lrr'; did you mean 'lr'?"
    ]


def test_without_a_neighbour_the_arguments_are_listed():
    (line,) = problems("scheduler", STEP, {"_partial_": True, "step_size": 3, "qqq": 1})
    assert line.startswith("scheduler.qqq: ")
    assert "it takes optimizer, step_size, gamma, last_epoch" in line


def test_all_mistakes_are_reported_at_once():
    lines = problems("optimizer", ADAMW, {"lr": "abc", "betas": [0.9], "foo": 1})
    keys = [line.partition(":")[0] for line in lines]
    assert keys == ["optimizer.lr", "optimizer.betas", "optimizer.foo", "optimizer.params"]


def test_any_keyword_goes_where_kwargs_lead_anywhere():
    assert problems("net", "torchvision.models.resnet18", {"num_classes": 3}) == []
    assert problems("logger", "lightning.pytorch.loggers.CSVLogger", {"save_dir": "x", "q": 1})


def test_the_root_has_no_key_before_its_arguments():
    (line,) = problems("", ADAMW, {"_partial_": True, "lrr": 1})
    assert line.startswith("lrr: ")


# --- missing ----------------------------------------------------------------------------------


def test_a_partial_leaves_the_first_positional_argument_open():
    assert problems("scheduler", STEP, {"_partial_": True}) == [
        f"scheduler.step_size: is missing; {STEP} requires it"
    ]
    assert problems("scheduler", STEP, {"_partial_": True, "step_size": 3}) == []


def test_a_full_call_needs_every_required_argument():
    lines = problems("scheduler", STEP, {})
    assert [line.partition(":")[0] for line in lines] == [
        "scheduler.optimizer",
        "scheduler.step_size",
    ]


def test_what_the_framework_supplies_is_not_missing():
    assert problems("scheduler", STEP, {}, supplied=["optimizer", "step_size"]) == []
    assert problems("scheduler", STEP, {"_partial_": True}, supplied=("step_size",)) == []


def test_ignored_keys_are_no_arguments():
    node = {"monitor": "val/loss", "enabled": 17, "_convert_": "all", "_recursive_": False}
    target = "lightning.pytorch.callbacks.EarlyStopping"
    assert problems("callbacks.stop", target, node, ignored=["enabled"]) == []
    assert len(problems("callbacks.stop", target, node)) == 1


def test_positional_arguments():
    given = {"_args_": [64, 10]}
    assert problems("model", "torch.nn.Linear", given) == []
    assert problems("model", "torch.nn.Linear", {"_args_": [64]}) == [
        "model.out_features: is missing; torch.nn.Linear requires it"
    ]
    assert problems("model", "torch.nn.Linear", {**given, "in_features": 3}) == [
        "model.in_features: is given twice, by name and in _args_, to torch.nn.Linear"
    ]
    (line,) = problems("model", "torch.nn.Linear", {"_args_": ["wide", 10]})
    assert line.startswith("model._args_[0]: in_features must be a whole number")
    (line,) = problems("model", "torch.nn.Linear", {"_args_": [1, 2, True, None, None, 6]})
    assert line == "model._args_: torch.nn.Linear takes 5 positional arguments, found 6"
    assert problems("model", "torch.nn.Sequential", {"_args_": [1, 2, 3]}) == []
    # _args_ come first in the later call, so the argument left open is the one behind them.
    assert problems("model", "torch.nn.Linear", {"_args_": [64], "_partial_": True}) == []


# --- values -----------------------------------------------------------------------------------

NODE = {"_target_": "somewhere.Thing"}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("int", 3),
        ("float", 3),
        ("float", 0.5),
        ("bool", True),
        ("str", "x"),
        ("Path", "a/b"),
        ("None", None),
        ("Any", [1]),
        (None, "anything"),
        ("Optional[int]", None),
        ("typing.Optional[int]", 1),
        ("int | None", None),
        ("Union[int, str, None]", "x"),
        ("t.Union[int, 'float']", 0.5),
        ("'int | float'", 0.5),
        ("float | Tensor", 0.1),
        ("tuple[float, float]", [0.9, 1]),
        ("Tuple[int, ...]", [1, 2, 3]),
        ("list", [1, "a"]),
        ("collections.abc.Sequence[int | str]", [1, "a"]),
        ("list[list[int]]", [[1], []]),
        ("dict[str, int]", {"a": 1}),
        ("Mapping", {}),
        ("Literal['min', 'max']", "max"),
        ("Literal[1, 2] | None", 2),
        # not understood, so nothing is said
        ("Logger", 3),
        ("int | Logger", "x"),
        ("Callable[[int], int]", "x"),
        ("list[Logger]", [1]),
        ("int if x else str", 1.5),
        ("torch.device | int", "cuda"),
        # not known yet
        ("int", NODE),
        ("list[int]", [NODE, 1]),
        ("int", "???"),
    ],
)
def test_fitting_values(annotation: str | None, value: Any):
    assert check_value(annotation, value) == []


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        ("int", True, "must be a whole number, found true"),
        ("int", 1.0, "must be a whole number, found 1.0"),
        ("int", None, "must be a whole number, found null"),
        ("float", False, "must be a number, found false"),
        ("int | float", "x", "must be a number, found the text 'x'"),
        ("float | Tensor", "abc", "must be a number, found the text 'abc'"),
        ("bool", 1, "must be true or false, found 1"),
        ("str", 3, "must be text, found 3"),
        ("Optional[Path]", 3, "must be a path or null, found 3"),
        ("list[int]", "abc", "must be a list [a whole number, ...], found the text 'abc'"),
        ("Sequence[str]", "abc", "must be a list [text, ...], found the text 'abc'"),
        ("list[int]", [1, 0.5], "must be a list [a whole number, ...], found [1, 0.5]"),
        ("tuple[int, int]", [1], "must be a list [a whole number, a whole number], found [1]"),
        ("dict[str, int]", [1], "must be a mapping, found [1]"),
        ("Literal['min', 'max']", "mix", "must be 'min' or 'max', found the text 'mix'; did you"),
        ("Literal[1, 2]", True, "must be 1 or 2, found true"),
        ("'Optional[int]'", "x", "must be a whole number or null, found the text 'x'"),
    ],
)
def test_values_of_the_wrong_type(annotation: str, value: Any, message: str):
    (line,) = check_value(annotation, value)
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1e-3", "; write 1.0e-3 or 0.001, without quotes"),
        ("5E4", "; write 5.0e4 or 50000.0, without quotes"),
        ("0.1", "; write 0.1, without quotes"),
        ("nan", ""),
        ("fast", ""),
    ],
)
def test_numbers_that_arrive_as_text(text: str, hint: str):
    assert check_value("float", text) == [f"must be a number, found the text {text!r}{hint}"]


def test_null_fits_where_it_is_the_default_whatever_the_annotation_says():
    assert check_value("int", None, default="None") == []
    assert len(check_value("int", None, default="3")) == 1


def test_choices_behind_a_type_alias_of_another_module():
    (line,) = problems("trainer", TRAINER, {"precision": 17})
    assert line.startswith("trainer.precision: must be 64, 32, 16, ")
    (line,) = problems("trainer", TRAINER, {"precision": "16-mixd"})
    assert line.endswith("did you mean '16-mixed'?")
    (line,) = problems("trainer", TRAINER, {"deterministic": "wran"})
    assert line.endswith("did you mean 'warn'?")
    assert problems("trainer", TRAINER, {"precision": "bf16-mixed", "deterministic": "warn"}) == []
    assert problems("trainer", TRAINER, {"precision": 32, "logger": False}) == []


def test_a_usual_trainer_has_no_problem():
    given = {
        "accelerator": "auto",
        "devices": 1,
        "max_epochs": 3,
        "max_time": {"hours": 1},
        "limit_train_batches": 0.5,
        "gradient_clip_val": 1,
        "default_root_dir": "outputs",
        "callbacks": [NODE],
        "strategy": NODE,
        "profiler": None,
    }
    assert problems("trainer", TRAINER, given) == []


def test_only_the_standard_library_is_imported():
    code = (
        "import sys; before = set(sys.modules); import burnish.config.arguments\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['burnish']"
