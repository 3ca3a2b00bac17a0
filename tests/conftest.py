"""Tiny data sets, written once a run, and one thread so that tests do not fight for cores."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import tiny
from burnish.cli import command
from launch import ROOT


def pytest_configure() -> None:
    """One thread: two workers share two cores, and sums are added up in one order."""
    torch.set_num_threads(1)
    # Digests of test files are no business of the person's own cache.
    cache = tempfile.mkdtemp(prefix="burnish-tests-")
    os.environ["XDG_CACHE_HOME"] = cache
    atexit.register(shutil.rmtree, cache, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Lightning leaves LOCAL_RANK and the like behind, which a process started later would obey."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., object]]:
    """A verb and its words as typed in an empty folder, in this process; returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(verb: str, *words: str) -> object:
        monkeypatch.setattr(sys, "argv", [str(ROOT / "src" / f"{verb}.py"), *words])
        with pytest.raises(SystemExit) as ended:
            command(verb)
        return ended.value.code

    yield run
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="session")
def cifar10_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cifar10(tmp_path_factory.mktemp("cifar10"))


@pytest.fixture(scope="session")
def cifar100_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cifar100(tmp_path_factory.mktemp("cifar100"))


@pytest.fixture(scope="session")
def folder_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_image_folder(tmp_path_factory.mktemp("folder"))


def pytest_collection_modifyitems(items):
    """Whoever runs pytest without ``-m`` is told why a test for a GPU did not run."""
    needs = [item for item in items if item.get_closest_marker("gpu")]
    if needs and not torch.cuda.is_available():
        for item in needs:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
