"""The files under conf/data and conf/augment against the classes that they name."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.data.augment import Transform
from burnish.data.base import DataModule

CONF = Path(__file__).parents[2] / "conf"
DATA = sorted((CONF / "data").glob("*.yaml"))
AUGMENT = sorted((CONF / "augment").glob("*.yaml"))


def target(node: dict[str, Any]) -> Any:
    module, _, name = node["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def arguments(kind: type) -> set[str]:
    """Those of the class and, through ``**shared``, of its bases."""
    found: set[str] = set()
    for base in inspect.getmro(kind):
        parameters = inspect.signature(base.__init__).parameters.values()
        found |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        if base is DataModule:
            return found
    raise AssertionError(f"{kind} is no DataModule")


@pytest.mark.parametrize("file", DATA, ids=lambda file: file.stem)
def test_every_data_file_lists_all_arguments(file: Path) -> None:
    node = yaml.safe_load(file.read_text())
    assert set(node) - {"_target_"} == arguments(target(node)) - {"augment"}
    # A table's pictures lie beside it unless root says otherwise.
    assert (node.get("root") or "${paths.data}").startswith("${paths.data}")
    assert node["shuffle_seed"] == "${seed}"


@pytest.mark.parametrize("file", DATA, ids=lambda file: file.stem)
def test_every_data_file_makes_its_module(file: Path) -> None:
    node = yaml.safe_load(file.read_text())
    plain = {**node, "shuffle_seed": 0} | {
        key: f"somewhere.{key}" for key in ("root", "path") if key in node
    }
    assert isinstance(
        target(plain)(**{k: v for k, v in plain.items() if k != "_target_"}), DataModule
    )


@pytest.mark.parametrize("file", AUGMENT, ids=lambda file: file.stem)
def test_every_augment_file_makes_its_transforms(file: Path) -> None:
    for node in yaml.safe_load(file.read_text()).values():
        given = {key: value for key, value in node.items() if key != "_target_"}
        kind = target(node)
        assert isinstance(kind(**given), Transform)
        if kind.__init__ is not object.__init__:
            assert set(given) == set(inspect.signature(kind).parameters)


@pytest.mark.parametrize("file", [*DATA, *AUGMENT], ids=lambda file: file.stem)
def test_every_file_says_what_it_is_and_how_to_use_it(file: Path) -> None:
    lines = file.read_text().splitlines()
    comment = [line for line in lines[:5] if line.startswith("#")]
    group = f"{file.parent.name}={file.stem}"
    assert lines[0].startswith("# ")
    assert any(line.startswith("# python src/train.py") and group in line for line in comment)
