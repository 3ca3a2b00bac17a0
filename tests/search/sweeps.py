"""What the tests of sweeps share: a net that fails when told to, and a look at what they left."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from launch import ROOT, TINY, launch, result_of

# A user's own net. `number` chooses faults; a file named `moment` says where the process gets a
# signal: "training KILL 2" is in the training of the second net.
MINE = '''
import os
import signal
import weakref
from pathlib import Path

import torch
from torch import nn

ALIVE = weakref.WeakSet()
FAULTS = {3: "nan", 5: "raise", 7: "memory"}


def perhaps(moment):
    """Send this process the signal that the file `moment` names, once."""
    if not Path("moment").exists():
        return
    at, name, after = Path("moment").read_text().split()
    if at == moment and Net.built >= int(after):
        Path("moment").unlink()
        os.kill(os.getpid(), getattr(signal, "SIG" + name))


class Net(nn.Module):
    built = 0

    def __init__(self, spec, number=0, fault=None):
        super().__init__()
        Net.built += 1
        self.number, self.fault = number, fault or FAULTS.get(number)
        self.head = nn.Linear(spec.channels * spec.height * spec.width, spec.num_classes)
        self.circle = [self]  # a circle, as optimizers and hooks make them
        self.calls = 0
        perhaps("building")
        ALIVE.add(self)
        with open("alive.txt", "a") as file:
            file.write(f"{len(ALIVE)}\\n")

    def forward(self, x):
        self.calls += 1
        if self.calls > 2:
            perhaps("training" if self.training else "validating")
            if self.fault == "raise":
                raise KeyError("the user's own mistake")
            if self.fault == "memory":
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        logits = self.head(x.flatten(1))
        return logits * float("nan") if self.fault == "nan" else logits


def extend(config, trial):
    """A search space by code; here only a moment to die in."""
    trial.suggest_float("optimizer.weight_decay", 0.0, 0.1)
    perhaps("asking")
'''
OWN = ("--config-dir", "conf", "trust=[mine]", "model=mine")
LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


def write_project(root: Path) -> Path:
    """A user's project around :data:`MINE`; returns ``root``."""
    (root / "mine.py").write_text(MINE)
    conf = root / "conf" / "model"
    conf.mkdir(parents=True)
    (conf / "mine.yaml").write_text("_target_: mine.Net\n_partial_: true\nnumber: 0\nfault: null\n")
    return root


def arguments(*more: str) -> list[str]:
    """Of a search over the smallest training; without a leading ``search=`` it is the default."""
    chosen = [] if any(a.startswith("search=") for a in more) else ["search=default"]
    return ["-m", *chosen, *TINY, "trainer.max_epochs=1", *more]


def search(
    *more: str, cwd: Path, timeout: float = 240, fresh: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a search as a user would, in a process of its own."""
    return launch("train", *arguments(*more), cwd=cwd, timeout=timeout, fresh=fresh)


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder."""

    folder: Path

    @property
    def trials(self) -> list[FrozenTrial]:
        study = optuna.load_study(
            study_name=self.folder.name, storage=f"sqlite:///{self.folder / 'study.db'}"
        )
        return study.trials

    def states(self) -> list[str]:
        return [t.state.name for t in self.trials]

    def finished(self) -> list[FrozenTrial]:
        """Those that count: interrupted ones are tried again."""
        return [
            t for t in self.trials if t.state.is_finished() and not t.user_attrs.get("interrupted")
        ]

    def failed(self) -> list[FrozenTrial]:
        return [t for t in self.finished() if t.state == TrialState.FAIL]

    def result(self, number: int) -> dict[str, Any]:
        return result_of(self.folder / str(number))

    def checkpoints(self) -> dict[str, set[str]]:
        """Run folder to the names of its checkpoints; folders without any are left out."""
        found: dict[str, set[str]] = {}
        for file in self.folder.rglob("*.ckpt"):
            run = file.parent.parent.relative_to(self.folder)
            found.setdefault(str(run), set()).add(file.name)
        return found


def sweep_in(cwd: Path, name: str = "tiny") -> Sweep:
    """The sweep that a search left under ``cwd``."""
    return Sweep(cwd / "outputs" / "search" / name)


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


class Here:
    """Runs searches in this process: imports are paid once."""

    def __init__(self, monkeypatch: Any, capfd: Any, cwd: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self.cwd = cwd

    def __call__(self, *more: str) -> Answer:
        return self.command(*arguments(*more))

    def command(self, *words: str) -> Answer:
        from burnish.cli import command

        with self._monkeypatch.context() as patch:
            patch.chdir(self.cwd)
            patch.setenv("HYDRA_FULL_ERROR", "1")  # command sets it: undone with the context
            patch.setattr(sys, "path", [*sys.path])
            patch.delitem(sys.modules, "mine", raising=False)  # each test has its own
            patch.setattr(sys, "argv", [str(ROOT / "src" / "train.py"), *words])
            self._capfd.readouterr()
            try:
                command("train")
            except SystemExit as end:
                code = end.code
        said = self._capfd.readouterr()
        assert isinstance(code, int)
        return Answer(code, said.out, said.err)
