"""What a search adds to its trials: CPU time and memory.

    python benchmarks/sweep.py [--trials 100] [--quick]

Three tables, each made in a process of its own; CPU time is user and system time of that process
and of what it started (git).

1. Everything but the training: in its place stands a function that returns a number. Between two
   trials, off that clock, bare Optuna asks, draws the same parameters and tells, on an SQLite file
   of its own: the search is given as the difference. So is Hydra's stock Optuna sweeper.
2. Real trials, an MLP on digits for one epoch; next to each, off its clock, the same training is
   called directly with the same configuration.
3. Resident memory while such trials go on, every tenth failing in the middle of its training with
   a large tensor in a frame of the traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import re
import resource
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import torch

from burnish.cli import command
from burnish.commands import train as training
from burnish.learner.module import ClassifierModule
from burnish.runs.outcome import Outcome

TRAIN = Path(__file__).resolve().parents[1] / "src" / "train.py"
SPACE = [
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "data.batch_size=choice(32,64,128)",
    "model.dropout=interval(0.0,0.6)",
]
FIXED = ["model=mlp", "trainer=cpu", "trainer.max_epochs=1"]
FAILS_EVERY = 10
LARGE = 16_000_000  # float32 numbers: 61 MiB


class Clock:
    """CPU time between one trial's training and the next, without what is paused."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._off = 0.0
        self._last: float | None = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        begun = cpu_seconds()
        yield
        self._off += cpu_seconds() - begun

    def lap(self) -> None:
        """A trial has reached its training."""
        now = cpu_seconds()
        if self._last is not None:
            self.seconds.append(now - self._last - self._off)
        self._last, self._off = now, 0.0


def cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def run(folder: Path, arguments: Sequence[str]) -> None:
    """``python src/train.py -m ...`` in this process, silent unless it fails."""
    torch.set_num_threads(1)
    sys.argv = [str(TRAIN), "-m", *FIXED, *SPACE, f"paths.outputs={folder}", *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            command("train")
        except SystemExit as end:
            code = end.code
    if code:
        raise RuntimeError(f"{' '.join(sys.argv)}\n{said.getvalue()[-2000:]}")


class BareOptuna:
    """Ask, draw, tell: nothing else."""

    def __init__(self, folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.seconds: list[float] = []
        self._study = optuna.create_study(
            storage=f"sqlite:///{folder / 'bare.db'}",
            sampler=optuna.samplers.RandomSampler(seed=0),
        )

    def trial(self) -> None:
        begun = cpu_seconds()
        trial = self._study.ask()
        trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("data.batch_size", (32, 64, 128))
        trial.suggest_float("model.dropout", 0.0, 0.6)
        self._study.tell(trial, 0.5)
        self.seconds.append(cpu_seconds() - begun)


def overhead(name: str, arguments: Sequence[str], trials: int) -> None:
    """A search whose trials train nothing, against bare Optuna."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, clock = Path(temporary), Clock()
        bare = BareOptuna(folder)

        def instead(*args: Any, **kwargs: Any) -> Outcome:
            clock.lap()
            with clock.paused():
                bare.trial()
            return Outcome((0.5,), epochs=1, seconds=0.1)

        training.train = instead  # type: ignore[assignment]
        storage = f"sqlite:///{folder / 'study.db'}"
        run(folder, [text.format(trials=trials + 1, storage=storage) for text in arguments])
        ours, its = clock.seconds, bare.seconds
        above = [1000 * (a - b) for a, b in zip(ours, its, strict=False)]
        ends = sorted({min(10, trials), trials // 2, trials})
        growth = ", ".join(f"{median(above[max(0, n - 10) : n]):.0f} at {n}" for n in ends)
        cells = "".join(f"{value:>8.1f}" for value in (*milliseconds(ours, its), median(above)))
        print(f"{name:<32}{cells}   {growth}")


def milliseconds(*columns: Sequence[float]) -> list[float]:
    return [1000 * median(seconds) for seconds in columns]


OURS = ["search=random", "search.n_trials={trials}", "search.study=bench"]
STOCK = [
    "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=0",
    "hydra.sweeper.n_trials={trials}", "hydra.sweeper.n_jobs=1", "hydra.sweeper.direction=maximize",
    "hydra.sweeper.storage={storage}", "hydra.sweeper.study_name=bench", "test=false",
]  # fmt: skip


def real(trials: int) -> None:
    """Real trials against the same trainings called directly."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, clock, train = Path(temporary), Clock(), training.train
        direct: list[float] = []

        def both(config: Any, path: Path, *args: Any, **kwargs: Any) -> Outcome:
            clock.lap()
            with clock.paused():
                begun = cpu_seconds()
                alone = folder / "alone" / path.name
                alone.mkdir(parents=True)
                train(config, alone, *args, **{**kwargs, "trial": None})
                direct.append(cpu_seconds() - begun)
            return train(config, path, *args, **kwargs)

        training.train = both
        run(folder, ["search=random", f"search.n_trials={trials + 1}", "search.study=bench"])
        # The first of each pays for imports and for reading the data.
        ours, its = clock.seconds[1:], direct[1:]
        above = [a - b for a, b in zip(ours, its, strict=False)]
        cells = "".join(f"{value:>8.0f}" for value in milliseconds(ours, its, above))
        print(f"{'MLP on digits, 1 epoch':<32}{cells}")


def memory(trials: int) -> None:
    """Resident memory after each trial; every tenth fails."""
    resident: list[float] = []
    threads: list[int] = []

    def at_start(module: ClassifierModule) -> None:
        resident.append(resident_mib())  # after as many trials as stand before it
        threads.append(threading.active_count())
        if len(resident) % FAILS_EVERY == 0:
            large = torch.ones(LARGE)
            raise RuntimeError(f"a trial that fails with {large.numel():,} numbers at hand")

    ClassifierModule.on_fit_start = at_start  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as temporary:
        arguments = ["search=random", f"search.n_trials={trials + 1}", "search.study=bench"]
        run(Path(temporary), arguments)
        told = (Path(temporary) / "search" / "bench" / "trials.csv").read_text(encoding="utf-8")
    if told.count(",failed,") != (trials + 1) // FAILS_EVERY:
        raise RuntimeError(f"other trials failed than every tenth:\n{told}")
    marks = sorted({3, trials // 2, trials})
    print(f"{'after trial':<32}" + "".join(f"{n:>9}" for n in marks) + f"{'growth':>9}")
    for name, found in (("resident memory, MiB", resident), ("threads", threads)):
        row = "".join(f"{found[n]:>9.0f}" for n in marks)
        print(f"{name:<32}{row}{found[marks[-1]] - found[marks[0]]:>9.1f}")


def resident_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def alone(part: Callable[..., None], *arguments: Any) -> None:
    """In a process of its own, so that no table carries another's memory or caches."""
    process = multiprocessing.get_context("spawn").Process(target=part, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="few trials, to see that it works")
    given = parser.parse_args()
    trials = 12 if given.quick else given.trials
    print(f"{'CPU ms a trial':<32}  search    bare   above   last 10 above", flush=True)
    alone(overhead, "burnish, search=random", OURS, trials)
    alone(overhead, "hydra/sweeper=optuna", STOCK, trials)
    print(f"\n{'CPU ms a trial':<32}  search  direct   above", flush=True)
    alone(real, min(trials, 30))
    print(flush=True)
    alone(memory, trials)


if __name__ == "__main__":
    main()
