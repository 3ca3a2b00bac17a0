"""Jobs in this process: composed as Hydra composes them, and nothing of them stays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.runs.outcome import Outcome
from burnish.search.launching import InProcess, Job, quoted

# Typed for the sweep, and so for each of its jobs.
FIXED = ("search=random", "search.study=x", "model=mlp", "data.batch_size=16")


@pytest.fixture
def context() -> Iterator[HydraContext]:
    """Hydra, as it is while it runs a sweep over conf/train.yaml."""
    register()
    before = HydraConfig.instance().cfg
    with initialize_config_dir(config_dir=str(conf_dir()), job_name="train"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield HydraContext(hydra.config_loader, Callbacks())
    HydraConfig.instance().cfg = before


def sweep_config(context: HydraContext, *overrides: str) -> DictConfig:
    config = context.config_loader.load_configuration(
        "train", [*FIXED, *overrides], run_mode=RunMode.MULTIRUN
    )
    HydraConfig.instance().set_config(config)
    return config


def leaves(config: DictConfig) -> object:
    return OmegaConf.to_container(config, resolve=False)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer.lr=0.0123", "seed=7"],
        ["optimizer.lr=1e-7", "trainer.max_epochs=3", "model.dropout=0"],
        ["optimizer=sgd", "optimizer.momentum=0.5"],
        ["optimizer.momentum=0.5", "optimizer=sgd"],
        ["data=image_folder", "data.root=/pictures"],
        ["data=image_folder"],
        ["model=simple_cnn", "scheduler=one_cycle", "augment=flip_crop"],
        ["+trainer.fresh=true", "trainer.max_epochs=2"],
        ["++model.dropout=0.25", "++model.extra=1"],
        ["+trainer.new={a: 1}", "trainer.new.a=2"],
        ["~callbacks.early_stopping", "seed=3"],
        ["~scheduler"],
        ["trainer.devices=[0]", "model.sizes=[64,32,16]"],
        ["trust=[]", "trust=[mypackage,other]"],
        ["name='a b, c=d'", 'monitor="val/loss"', "mode=min"],
        ["name='it\\'s'", r"name=a\,b"],
        ["name='${seed}-${mode}'", "optimizer.lr=${seed}"],
        ["name=${hydra:runtime.choices.model}"],
        ["resume=null", "optimizer.lr=null", "name="],
        ["paths={data: there}", "paths.outputs=here"],
        ["seed=1", "seed=2"],
        ["hydra.job.name=other", "hydra.verbose=true", "+hydra.job.env_set.A=b", "seed=1"],
        ["search.trial=3", "search.study='x y'", "search.against=[parameters]"],
        ["hydra/job_logging=disabled", "seed=4"],
    ],
    ids=" ".join,
)
def test_a_configuration_is_the_one_that_hydra_composes(context, overrides):
    config = sweep_config(context)
    expected = context.config_loader.load_sweep_config(config, [*FIXED, *overrides])
    jobs = InProcess(context, lambda _: Outcome(), config)
    for _ in range(2):  # composed, and taken from what was composed
        composed = jobs.compose([*FIXED, *overrides])
        assert leaves(composed) == leaves(expected)
        assert OmegaConf.is_struct(composed) == OmegaConf.is_struct(expected)
        assert OmegaConf.is_readonly(composed) == OmegaConf.is_readonly(expected)


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.lrr=0.1"], ["optimiser=sgd"], ["optimizer=sdg"], ["seed.a=1"],
        ["~optimizer.lrr"], ["+optimizer.lr=0.1"], ["optimizer.lr=[1"],
        ["hydra/sweeper/pruner=hyperband"], ["hydra.sweeper.n_jobs=2"],
    ],
)  # fmt: skip
def test_what_hydra_refuses_is_refused(context, overrides):
    config = sweep_config(context)
    jobs = InProcess(context, lambda _: Outcome(), config)
    jobs.compose([*FIXED, "seed=1"])
    with pytest.raises(HydraException) as theirs:
        context.config_loader.load_sweep_config(config, [*FIXED, *overrides])
    with pytest.raises(HydraException) as ours:
        jobs.compose([*FIXED, *overrides])
    assert str(ours.value) == str(theirs.value)


def test_resolved_once_means_the_same_in_every_trial(context):
    config = sweep_config(context, "hydra.sweep.dir=${now:%f}")
    jobs = InProcess(context, lambda _: Outcome(), config)
    moments = {
        config.hydra.sweep.dir,
        *(jobs.compose([*FIXED, "seed=1"]).hydra.sweep.dir for _ in "ab"),
    }
    assert len(moments) == 1


def test_no_value_reaches_the_next_trial(context):
    jobs = InProcess(context, lambda _: Outcome(), sweep_config(context))
    untouched = leaves(jobs.compose(FIXED))
    first = jobs.compose([*FIXED, "optimizer.lr=0.5", "model.sizes=[8]", "trust=[one]"])
    first.trust.append("two")
    first.hydra.job.id = "mine"
    assert leaves(jobs.compose(FIXED)) == untouched
    assert jobs.compose([*FIXED, "seed=1"]).optimizer.lr != 0.5


def test_a_job_gets_its_folder_its_number_and_its_values(context, tmp_path):
    seen = []

    def task(cfg: DictConfig) -> Outcome:
        state = HydraConfig.get()
        seen.append((cfg.seed, state.runtime.output_dir, state.job.num, [*state.overrides.task]))
        return Outcome((float(cfg.seed),))

    launch = InProcess(context, task, sweep_config(context))
    folders = [tmp_path / "a, b" / name for name in ("7", "final")]
    jobs = [Job(folder, (*FIXED, f"seed={i}")) for i, folder in enumerate(folders)]
    assert list(launch(jobs)) == [Outcome((0.0,)), Outcome((1.0,))]
    assert seen == [
        (0, str(folders[0]), 7, [*FIXED, "seed=0"]),
        (1, str(folders[1]), 0, [*FIXED, "seed=1"]),
    ]
    assert all(folder.is_dir() for folder in folders)


class Net(torch.nn.Module):
    """Refers to itself in a circle, as a trainer and its module do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1000))
        self.held = [self]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_job_is_kept_alive(context, tmp_path, fails):
    alive: list[weakref.ref[Net]] = []

    def task(cfg: DictConfig) -> Outcome:
        net = Net()
        alive.append(weakref.ref(net))
        if fails:
            raise RuntimeError("out of memory")
        return Outcome((0.5,))

    launch = InProcess(context, task, sweep_config(context))
    outcomes = launch([Job(tmp_path / str(i), FIXED) for i in range(3)])
    gc.disable()  # the launcher's own doing is asked for
    try:
        for started in range(1, 4):
            outcome = next(outcomes)
            assert len(alive) == started
            assert all(ref() is None for ref in alive[:-1])
        assert list(outcomes) == []
        assert [ref() for ref in alive] == [None] * 3
    finally:
        gc.enable()
        gc.unfreeze()
    assert outcome == (Outcome(error="RuntimeError: out of memory") if fails else Outcome((0.5,)))


def test_a_job_that_cannot_be_composed_and_one_that_returns_nothing_are_failures(context, tmp_path):
    launch = InProcess(context, lambda _: None, sweep_config(context))
    outcomes = list(
        launch([Job(tmp_path / "0", (*FIXED, "optimizer.lrr=1")), Job(tmp_path / "1", FIXED)])
    )
    assert "optimizer.lrr" in outcomes[0].error
    assert outcomes[1] == Outcome(error="the job returned None")


@pytest.mark.parametrize(
    "text", ["plain", "with space", "it's", r"back\slash", r"both\' ones", "a,b=c"]
)
def test_quoted_text_is_read_as_it_was(context, text):
    jobs = InProcess(context, lambda _: Outcome(), sweep_config(context))
    assert jobs.compose([*FIXED, f"name={quoted(text)}"]).name == text
