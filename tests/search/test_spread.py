"""Searches over several processes: workers that share a study, launchers, distributed trials."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from sweeps import LR, OWN, Sweep, arguments, search, sweep_in, write_project

from launch import TINY, launch, only_run, result_of, start


def together(words, cwd, workers=2):
    """The same command several times at once; all must end well."""
    processes = [start("train", *arguments(*words), cwd=cwd) for _ in range(workers)]
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * workers, "\n\n".join(said)


def assert_shared(trials, total, workers=2):
    """Nothing drawn twice, nothing left behind, at most one trial more for each further worker."""
    assert {t.state.name for t in trials} <= {"COMPLETE", "PRUNED"}
    assert total <= len(trials) <= total + workers - 1
    assert len({str(t.params) for t in trials}) == len(trials)
    assert len({t.user_attrs["worker"] for t in trials}) == workers


def test_two_workers_share_one_study_in_a_file(tmp_path):
    words = ("search=random", LR, "search.n_trials=12", "trainer.max_epochs=6")
    together((*words, "search.final=retrain"), tmp_path)
    sweep = sweep_in(tmp_path)
    assert_shared(sweep.trials, 12)
    assert (sweep.folder / "trials.csv").read_text().count("\n") == len(sweep.trials) + 1
    # Whoever of the two ends last trains the best trial anew, and nobody else.
    (final,) = (sweep.folder / "final").glob("trial-*")
    best = max((t for t in sweep.trials if t.state.name == "COMPLETE"), key=lambda t: t.value)
    assert final.name == f"trial-{best.number}-seed-0"
    assert (final / "train.log").read_text().count("run folder  ") == 2  # at its start and end
    assert result_of(final)["best"]["value"] == best.value


def values(sweep: Sweep) -> dict[int, tuple[float, float]]:
    """Rate and best value of the trials that ran to their end."""
    return {
        t.number: (t.params["optimizer.lr"], t.value)
        for t in sweep.trials
        if t.state.name == "COMPLETE"
    }


def assert_same_as_one_by_one(here, launcher):
    """The same draws and the same values, up to which trials were pruned in time."""
    words = ("search=random", LR, "search.n_trials=8", "trainer.max_epochs=4")
    done = search(
        *words, *launcher, "search.n_jobs=2", "search.study=two", cwd=here.cwd, fresh=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert here(*words, "search.study=one").code == 0
    two, one = sweep_in(here.cwd, "two"), sweep_in(here.cwd, "one")
    assert [t.params for t in two.trials] == [t.params for t in one.trials]
    assert "PRUNED" in two.states()
    both = values(two).keys() & values(one).keys()
    assert len(both) >= 5
    assert {n: values(two)[n] for n in both} == {n: values(one)[n] for n in both}
    pruned = [t for t in two.trials if t.state.name == "PRUNED"]
    assert all(len(t.intermediate_values) < 4 for t in pruned)
    assert all(two.result(t.number)["status"] == "pruned" for t in pruned)


def test_joblib_gives_the_values_of_one_process(here):
    assert_same_as_one_by_one(here, ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"))


@pytest.mark.slow
def test_submitit_gives_the_values_of_one_process(here):
    assert_same_as_one_by_one(here, ("hydra/launcher=submitit_local",))


@pytest.mark.slow
def test_a_launcher_runs_a_plain_multirun(tmp_path):
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = launch("train", "-m", *TINY, "seed=1,2", *launcher, cwd=tmp_path, fresh=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("outputs/multirun/*/*/*/checkpoints/best.ckpt"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_job_that_is_killed_elsewhere_does_not_end_the_search(here, launcher):
    write_project(here.cwd)
    (here.cwd / "moment").write_text("training KILL 1")
    chosen = (f"hydra/launcher={launcher}", "search.n_jobs=2")
    done = search(*OWN, LR, *chosen, "search.n_trials=4", cwd=here.cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = sweep_in(here.cwd)
    assert len(sweep.finished()) == 4
    assert "RUNNING" not in sweep.states()


def losses(sweep: Sweep) -> dict[int, float]:
    """Validation loss of the trials that ran to their end."""
    return {n: sweep.result(n)["metrics"]["val/loss"] for n in values(sweep)}


def test_distributed_trials_equal_those_of_one_process_with_batches_twice_as_large(here):
    write_project(here.cwd)
    # The net of number 5 raises, in both processes.
    words = (*OWN, "search=grid", "model.number=1,5", "optimizer.lr=0.01,0.03", "search.n_trials=3")
    done = search(*words, "trainer=ddp_cpu", "search.study=two", cwd=here.cwd, fresh=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert here(*words, "data.batch_size=64", "search.study=one").code == 0
    two, one = sweep_in(here.cwd, "two"), sweep_in(here.cwd, "one")
    assert two.states() == one.states()
    assert set(two.states()) == {"COMPLETE", "FAIL"}
    assert [t.params for t in two.trials] == [t.params for t in one.trials]
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    for number in losses(two):
        assert "2 processes" in (two.folder / str(number) / "train.log").read_text()
    assert (two.folder / "sweep.log").read_text().count("trials      3 in all") == 1
    runs = sorted(path.parent for path in here.cwd.rglob("result.json"))
    assert runs == sorted(s.folder / str(n) for s in (one, two) for n in range(3))


@pytest.mark.slow
def test_distributed_trials_are_pruned(tmp_path):
    words = ("search=random", LR, "search.n_trials=9", "trainer.max_epochs=4", "trainer=ddp_cpu")
    done = search(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = sweep_in(tmp_path)
    assert len(sweep.trials) == 9
    assert set(sweep.states()) == {"COMPLETE", "PRUNED"}
    pruned = [t for t in sweep.trials if t.state.name == "PRUNED"]
    assert all(sweep.result(t.number)["status"] == "pruned" for t in pruned)


@pytest.mark.slow
def test_a_plain_multirun_of_distributed_runs(tmp_path):
    done = launch("train", "-m", *TINY, "trainer=ddp_cpu", "seed=1,2", cwd=tmp_path, fresh=True)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = list(tmp_path.rglob("result.json"))
    assert len(runs) == 2
    assert {run.parent.name for run in runs} == {"0", "1"}


def test_the_best_trial_is_trained_anew_and_scored_once(here):
    words = (LR, "search.n_trials=2", "search.final=retrain", "search.final_seeds=2")
    done = here(*words)
    assert done.code == 0, done.out + done.err
    sweep = sweep_in(here.cwd)
    best = max(sweep.trials, key=lambda t: t.value).number
    finals = [sweep.folder / "final" / f"trial-{best}-seed-{seed}" for seed in (0, 1)]
    results = [result_of(run) for run in finals]
    assert all("test/accuracy" in result["metrics"] for result in results)
    assert results[0]["best"]["value"] == sweep.trials[best].value  # the same seed: the same run
    assert not any("test/accuracy" in sweep.result(t.number)["metrics"] for t in sweep.trials)
    assert set(sweep.checkpoints()) == {
        str(best),
        *(str(r.relative_to(sweep.folder)) for r in finals),
    }
    again = here(*words)
    assert again.code == 0
    assert "test/accuracy" in again.out
    assert [result_of(run) for run in finals] == results


def test_an_interrupted_final_training_is_made_up_for(here):
    write_project(here.cwd)
    (here.cwd / "moment").write_text("training INT 3")
    words = (*OWN, LR, "search.n_trials=2", "search.final=retrain")
    assert here(*words).code == 130
    sweep = sweep_in(here.cwd)
    (final,) = (sweep.folder / "final").iterdir()
    assert result_of(final)["status"] == "interrupted"
    done = here(*words)
    assert done.code == 0, done.out + done.err
    assert result_of(final)["status"] == "finished"
    assert len(sweep.trials) == 2


@pytest.mark.slow
def test_a_launcher_trains_the_best_trial_anew(tmp_path):
    final = ("search.final=retrain", "search.final_seeds=2")
    chosen = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "search.n_jobs=2")
    done = search(LR, *final, *chosen, "search.n_trials=2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = list((sweep_in(tmp_path).folder / "final").iterdir())
    assert len(runs) == 2
    assert all("test/accuracy" in result_of(run)["metrics"] for run in runs)


def test_the_best_trial_is_scored_and_only_kept_checkpoints_are_left(here):
    for keep, kept in (("best", 1), ("all", 2), ("none", 0)):
        final = "none" if keep == "none" else "eval"
        words = (f"search.keep_checkpoints={keep}", f"search.final={final}", "search.n_trials=2")
        done = here(LR, *words, f"search.study={keep}")
        assert done.code == 0, done.out + done.err
        assert ("test/accuracy" in done.out) == (final == "eval")
        sweep = sweep_in(here.cwd, keep)
        found = sweep.checkpoints()
        assert len(found) == kept
        assert all(names == {"best.ckpt", "last.ckpt"} for names in found.values())
        if keep == "best":
            assert set(found) == {str(max(sweep.trials, key=lambda t: t.value).number)}
        assert not any("test/accuracy" in sweep.result(t.number)["metrics"] for t in sweep.trials)


def repeated(here, said):
    """Run the command that a search printed; returns the run folder."""
    (line,) = [line for line in said.splitlines() if line.startswith("repeat ")]
    _, python, _, *words = shlex.split(line)
    assert python == "python"
    shutil.rmtree(here.cwd / "outputs" / "train", ignore_errors=True)
    done = here.command(*words)
    assert done.code == 0, f"{line}\n{done.err}"
    return result_of(only_run(here.cwd))


@pytest.mark.parametrize(
    "words",
    [
        ("search=default", LR, "model.dropout=interval(0,0.5)"),
        ("search=mnist", "data=digits", "trainer.max_epochs=1", "data.limit=200"),
        (*OWN, "search=default", LR, "model.number=choice(1,2)"),
    ],
    ids=["typed", "file", "own"],
)
def test_the_printed_command_repeats_the_best_trial(here, words):
    write_project(here.cwd)
    name = "mnist" if "search=mnist" in words else "tiny"
    tiny = [w for w in TINY if name == "tiny" or not w.startswith(("model", "data"))]
    done = here.command("-m", *tiny, *words, "search.n_trials=2")
    assert done.code == 0, done.out + done.err
    best = max(sweep_in(here.cwd, name).trials, key=lambda t: t.value)
    assert repeated(here, done.out)["best"]["value"] == best.value


PASSWORD = "s3cret-and-long"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of a server of Debian's packages that was started for the test."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    folder = Path(tempfile.mkdtemp(prefix="burnish-pg-"))
    (folder / "password").write_text(PASSWORD)
    as_user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *words: str) -> None:
        command = [*as_user, str(programs / program), "-D", str(folder / "data"), *words]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    secret = ("--auth=scram-sha-256", f"--pwfile={folder / 'password'}")
    run("initdb", "-U", "burnish", *secret)
    options = f"-h 127.0.0.1 -p {port} -k {folder}"
    run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
    yield f"postgresql://burnish:{PASSWORD}@127.0.0.1:{port}/postgres"
    run("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


def assert_told_nowhere(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.postgres
def test_workers_share_a_postgres_and_its_password_is_written_nowhere(tmp_path, postgres):
    words = (LR, "search=random", f"search.storage={postgres}", "trainer.max_epochs=3")
    together((*words, "search.n_trials=24"), tmp_path)
    url = postgres.replace("postgresql://", "postgresql+psycopg2://")
    assert_shared(optuna.load_study(study_name="tiny", storage=url).trials, 24)
    assert_told_nowhere(tmp_path)


@pytest.mark.postgres
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_password_in_the_environment_reaches_the_jobs_alone(
    tmp_path, postgres, launcher, monkeypatch
):
    monkeypatch.setenv("STUDIES", postgres)  # submitit keeps the overrides in files of its own
    words = (LR, "search.storage=${oc.env:STUDIES}", f"search.study={launcher}")
    chosen = (f"hydra/launcher={launcher}", "search.n_jobs=2", "search.n_trials=2")
    done = search(*words, *chosen, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_told_nowhere(tmp_path)
