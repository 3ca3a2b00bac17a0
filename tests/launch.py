"""Ways to run burnish in tests: composed configurations in this process, commands in another."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from burnish.config.paths import conf_dir
from burnish.config.resolvers import register

ROOT = Path(__file__).resolve().parents[1]

# The smallest real training: an MLP on 200 digits, quick and deterministic.
TINY = (
    "name=tiny",
    "trainer=cpu",
    "model=mlp",
    "data.limit=200",
    "data.batch_size=32",
    "trainer.max_epochs=2",
    "callbacks.progress.enabled=false",
)


def composed(*overrides: str, root: str = "train") -> dict[str, Any]:
    """A configuration as plain containers, as the command line would resolve it."""
    register()
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose(root, list(overrides))
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def environment() -> dict[str, str]:
    """One thread: two test workers share two cores."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


# What nearly every command imports: paid once a test process, in a process that does nothing else.
PRELOADED = ["burnish.commands.train", "burnish.commands.evaluate", "burnish.report.figures"]


@cache
def _server() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    os.environ.update(environment())  # libraries read it when they are loaded
    return context


def _as_a_command(
    script: str, arguments: tuple[str, ...], cwd: Path, variables: dict[str, str]
) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(cwd / f".{name}-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def launch(
    verb: str, *arguments: str, cwd: Path, timeout: float = 120, fresh: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``python src/<verb>.py`` as a user would, from ``cwd``, in a process of its own.

    It is forked from a clean process that has imported the libraries and nothing else: what a
    command imports, and when, is for :func:`imported_by`.

    Args:
        verb: names the script.
        *arguments: of the command.
        cwd: where it is run.
        timeout: seconds.
        fresh: not forked but started anew, as pools of processes need it that it starts itself.
    """
    script = str(ROOT / "src" / f"{verb}.py")
    if fresh:
        return subprocess.run(
            [sys.executable, script, *arguments], cwd=cwd, env=environment(),
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    given = (script, arguments, cwd, environment())
    process = _server().Process(target=_as_a_command, args=given)
    process.start()
    process.join(timeout)
    written = [cwd / f".{name}-{process.pid}" for name in ("stdout", "stderr")]
    if timed_out := process.exitcode is None:
        process.kill()
        process.join()
    out, err = (file.read_text() if file.exists() else "" for file in written)
    for file in written:
        file.unlink(missing_ok=True)
    if timed_out:
        raise subprocess.TimeoutExpired([script, *arguments], timeout, out, err)
    return subprocess.CompletedProcess([script, *arguments], process.exitcode or 0, out, err)


def start(verb: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start it and go on: for tests that interrupt it."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "src" / f"{verb}.py"), *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def imported_by(code: str, cwd: Path | None = None) -> set[str]:
    """Names of all modules, with their packages, that a process of its own has once it ran it."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint()\nprint(*sys.modules)"],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def only_run(cwd: Path) -> Path:
    """The one run folder under ``cwd/outputs``."""
    (result,) = cwd.glob("outputs/train/*/*/result.json")
    return result.parent


def result_of(run: Path) -> dict[str, Any]:
    """``result.json``."""
    return json.loads((run / "result.json").read_text())  # type: ignore[no-any-return]


def weights_of(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    """The weights in a run's checkpoint."""
    checkpoint = torch.load(run / "checkpoints" / f"{which}.ckpt", weights_only=True)
    return checkpoint["state_dict"]  # type: ignore[no-any-return]


def assert_equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Bit-equal, name for name."""
    assert list(a) == list(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name
