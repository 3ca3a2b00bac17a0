"""Imports point only downwards: the floors of CONTRIBUTING.md, read from the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "burnish"

# What each room may see of ours, besides itself.
MAY_SEE = {
    "version": set(),
    "errors": set(),
    "spec": {"errors"},
    "nn": {"errors"},
    "config": {"errors"},
    "runs": {"spec", "errors"},
    "report": {"runs", "spec", "errors"},
    "models": {"nn", "spec", "errors"},
    "data": {"nn", "spec", "errors"},
    "learner": {"nn", "spec", "errors", "runs"},
    "deploy": {"report", "runs", "data", "spec", "errors"},
    "build": {"data", "models", "nn", "learner", "spec", "errors", "config"},
    "diagnosis": {"report", "runs", "learner", "data", "spec", "errors"},
    "search": {"report", "runs", "config", "errors"},
    "commands": {
        "build", "learner", "data", "models", "nn", "spec", "errors", "runs", "config",
        "report", "search", "diagnosis", "deploy",
    },
    "api": {"build", "commands", "config", "data", "deploy", "errors", "jobs", "runs", "spec"},
    "jobs": {"commands", "config", "errors", "runs", "search"},
    "cli": {"commands", "config", "errors", "jobs", "runs", "version"},
}  # fmt: skip
HEAVY = {"torch", "torchvision", "lightning", "torchmetrics", "optuna", "sklearn", "numpy"}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


FILES = sorted(p for p in SOURCE.rglob("*.py") if p.name != "__init__.py")


def test_every_room_has_its_rule():
    assert {room(path) for path in FILES} == set(MAY_SEE)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_sees_only_what_lies_below(path):
    ours = {
        n.split(".")[1] for n in imported(ast.parse(path.read_text())) if n.startswith("burnish.")
    }
    assert ours - {room(path)} <= MAY_SEE[room(path)]


def test_no_verb_sees_another():
    verbs = {p.stem for p in (SOURCE / "commands").glob("*.py")} - {
        "__init__",
        "quiet",
        "opening",
        "opened",
        "predictors",
        "exporting",
        "restoring",
        "starting",
        "scoring",
        "measuring",
        "exported",
        "examples",
        "reporting",
        "experiment",
        "stopping",
    }
    verbs -= {verb for verb in verbs if verb.startswith("runs_")}  # parts of one verb
    for verb in verbs:
        seen = imported(ast.parse((SOURCE / "commands" / f"{verb}.py").read_text()))
        assert not {f"burnish.commands.{other}" for other in verbs - {verb}} & seen


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) in ("cli", "jobs", "config", "errors")]
)
def test_nothing_heavy_is_imported_before_a_config_is_checked(path):
    tree = ast.parse(path.read_text())
    top = ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef)], [])
    assert not {name.split(".")[0] for name in imported(top)} & HEAVY


def test_only_build_instantiates():
    callers = {room(p) for p in FILES if "hydra.utils" in imported(ast.parse(p.read_text()))}
    assert callers == {"build"}


def test_learner_module_sees_neither_nets_nor_data_nor_hydra():
    seen = imported(ast.parse((SOURCE / "learner" / "module.py").read_text()))
    assert not [
        n for n in seen if n.startswith(("burnish.models", "burnish.data", "hydra", "omegaconf"))
    ]
