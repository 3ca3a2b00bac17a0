"""What a person sees who types something wrong: one readable line a mistake, exit code 2."""

from __future__ import annotations

import io
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from burnish.commands.train import train
from burnish.config.targets import may_be_yours
from launch import ROOT, TINY, composed, environment, imported_by, launch

# Command line -> what the answer must say, each part.
MISTAKES = {
    "modle=resnet18": ["modle: there is no such key; did you mean model"],
    "model=resnet19": ["model: there is no model=resnet19; did you mean resnet18?", "simple_cnn"],
    "optimizer.lrr=0.1": ["optimizer.lrr: there is no such key; did you mean optimizer.lr?"],
    "lr=0.1": ["lr: there is no such key; did you mean optimizer.lr?"],
    "trainer.max_epoch=3": ["trainer.max_epoch: there is no such key; did you mean trainer.max_ep"],
    "optimizer.lr=abc": ["optimizer.lr: must be a number, found the text 'abc'"],
    "optimizer.lr=-1": ["optimizer.lr: must be a number above 0, found -1"],
    "optimizer._target_=torch.optim.AdmW": [
        "optimizer._target_: torch.optim has no 'AdmW'; did you mean 'AdamW'?"
    ],
    "optimizer._target_=os.system": [
        "optimizer._target_: 'os.system' is not admitted",
        "optimizer may name classes of torch.optim, classes of burnish.nn\n",
    ],
    "optimizer._target_=torch.optim.SparseAdam": [
        "optimizer.weight_decay: torch.optim.SparseAdam takes no argument 'weight_decay'"
    ],
    "model._target_=burnish.models.resnet.resnet18": [
        "model.hidden: burnish.models.resnet.resnet18 takes no argument 'hidden'"
    ],
    "monitor=val/acc": ["monitor: no metric is named 'val/acc'; did you mean val/accuracy?"],
    "monitor=val/loss": ["mode: val/loss is better when it is minimal; set mode=min"],
    "trainer.limit_val_batches=0": ["monitor: val/accuracy is never measured", "train/loss"],
    "resume=nowhere": ["resume: nowhere does not exist"],
    "init_from=nowhere/best.ckpt": ["init_from: nowhere/best.ckpt does not exist"],
    "scheduler=warmup_cosine trainer.max_epochs=3": [
        "scheduler.schedule.warmup_epochs: 5.0 epochs of warm-up leave nothing"
    ],
    "scheduler=multistep trainer.max_epochs=5": ["scheduler.schedule.milestones:", "all lie at"],
    "trainer.max_epochs=0": ["trainer.max_epochs: 0 trains nothing"],
    "data.batch_size=-3": ["data.batch_size: must be a whole number of at least 1, found -3"],
    "data.val_fraction=1": ["data.val_fraction: must be a number above 0 and below 1, found 1"],
    "model=mlp model.sizes=[64,-1]": ["model.sizes[1]: must be a whole number of at least 1"],
    "model.dropout=1.5": ["model.dropout: must be a number at least 0 and below 1, found 1.5"],
    "trainer.precision=17": ["trainer.precision: must be"],
    "data.batch_size=???": ["data.batch_size: a value is required"],
    "name=a/b": ["name: 'a/b' names a folder"],
    "seed=-1": ["seed: must be a whole number of at least 0"],
    "mode=maximum": ["mode: must be one of max, min, found 'maximum'; did you mean max?"],
    "loss.reduction=none": ["loss.reduction: must be one of mean, sum, found 'none'"],
    "trust=[os-system]": ["trust: 'os-system' is not the name of a package"],
    "+foo=1": ["foo: nothing reads this key"],
    "+callbacks.mine.x=1": ["callbacks.mine: has no _target_"],
    "data.batch_size=[1": ["data.batch_size: 'data.batch_size=[1' cannot be read"],
    "optimizer.lr=${nope}": ["optimizer.lr: Interpolation key 'nope' not found"],
    "paths.outputs=/dev/null/x": ["error: /dev/null/x", "Not a directory"],
    "trainer.max_time=1": ["trainer.max_time: must be DD:HH:MM:SS"],
    "trainer.max_steps=0": ["trainer.max_steps: must be a whole number of at least 1"],
    "trainer.check_val_every_n_epoch=99": ["trainer.check_val_every_n_epoch: 99 is more than"],
    "seed=99999999999": ["seed: must be a whole number of at least 0 and at most 4294967295"],
    "nonsense": ["nonsense: expected key=value"],
    "freeze=head": ["freeze: must be one of none, backbone, found 'head'"],
    "unfreeze_epoch=3": ["unfreeze_epoch: nothing is frozen; add freeze=backbone"],
    "loss.class_weights=even": ["loss.class_weights: must be one of none, balanced"],
    "loss.class_weights=[1,2]": ["one weight for each of the 10 classes"],
    "data.sampler=all": ["data.sampler: must be 'none', 'balanced' or 'undersample'"],
    "data.num_folds=5": ["data.fold: give data.num_folds and data.fold together"],
    "data.num_folds=5 data.fold=5": ["data.fold: must be at most 4 of 5 folds"],
    "model=bilstm": ["takes texts", "ImageSpec"],
    "data=text data.path=no.csv model=bilstm": ["no.csv: no such file"],
    "data=text model=bilstm": ["data.path: give the one file"],
    "data=docstrings model=resnet18": ["ResNet takes images", "model=bilstm"],
    "data=docstrings model=bilstm augment=standard": ["augment: changes images"],
    "model=torchvision model.name=resnet19": ["resnet19", "resnet18"],
    "model=torchvision model.weights_file=no.pth": ["no.pth"],
    "optimizer.backbone_lr_scale=2": ["optimizer.backbone_lr_scale: must be a number"],
    "--config-dir nowhere": ["--config-dir: nowhere is no folder"],
    "data=mnist data.root=empty data.download=false": [
        "empty/MNIST/raw: missing train-images-idx3-ubyte.gz",
        "without a network",
    ],
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named(line, tmp_path):
    done = launch("train", *line.split(), cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Error executing" not in done.stderr
    for part in MISTAKES[line]:
        assert part in done.stderr
    if "data=mnist" not in line:  # refused before a run began: nothing is left behind
        assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("package", "yours"),
    [("os", False), ("_ctypes", False), ("torch", False), ("yaml", False), ("burnish", False),
     ("mine", True), ("not_here_yet", True)],
)  # fmt: skip
def test_only_what_may_be_yours_is_to_be_trusted(package, yours, tmp_path, monkeypatch):
    (tmp_path / "mine.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert may_be_yours(package) is yours


@pytest.mark.parametrize("flag", ["-m", "--multirun", "--multi"])
def test_a_verb_of_one_run_refuses_many_before_a_folder_is_made(flag, typed, tmp_path, capsys):
    assert typed("diagnose", flag, "model=mlp,simple_cnn") == 2
    line = "error: diagnose: looks at one run at a time: leave out -m\n"
    assert capsys.readouterr() == ("", line)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_that_names_the_file(typed, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        code = typed("diagnose", "model=mlp", "trainer=cpu", "checks=[outputs]")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: \S+/outputs/diagnose/\S+-digits-mlp-\w+: File too large\n", said)


class Impatient(io.StringIO):
    """A person who ends the command on reading the first line."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum

    def flush(self) -> None:
        if "outputs" in self.getvalue() and "interrupted" not in self.getvalue():
            signal.raise_signal(self.signum)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_diagnosis_leaves_what_was_done(signum, typed, monkeypatch):
    terminal = Impatient(signum)
    monkeypatch.setattr(sys, "stdout", terminal)
    words = ["model=mlp", "trainer=cpu", "checks=[outputs,learning_rate]", "hydra.run.dir=here"]
    former = signal.getsignal(signum)
    assert typed("diagnose", *words) == 128 + signum
    assert signal.getsignal(signum) is former
    assert "\ninterrupted: 1 of 2 checks done\n" in terminal.getvalue()
    assert "(interrupted: 1 of 2 checks done)" in Path("here/index.html").read_text()


def test_all_mistakes_are_named_at_once(tmp_path):
    typed = ["model=resnet19", "optimizer.lrr=1", "data.batch_sze=3", "data.batch_size=0"]
    done = launch("train", *typed, cwd=tmp_path)
    assert done.returncode == 2
    assert "4 errors:" in done.stderr
    done = launch("train", "optimizer.lr=x", "data.batch_size=0", "seed=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert "3 errors:" in done.stderr


def test_a_typing_error_in_a_file_is_named_too(tmp_path):
    experiment = tmp_path / "conf" / "experiment" / "mine.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text(
        "# @package _global_\noptimzer: {lr: 0.1}\ntrainer: {max_epoch: 3}\ntrust: [os]\n"
    )
    done = launch("train", "--config-dir", "conf", "experiment=mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "trust: is accepted on the command line only" in done.stderr
    experiment.write_text(experiment.read_text().replace("trust: [os]\n", ""))
    done = launch("train", "--config-dir", "conf", "experiment=mine", cwd=tmp_path)
    assert "optimzer: nothing reads this key; did you mean optimizer?" in done.stderr
    assert "trainer.max_epoch: lightning.pytorch.Trainer takes no argument" in done.stderr


def test_refusing_a_configuration_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; sys.argv = ['train.py', 'optimizer.lr=abc', 'monitor=x']\n"
        "from burnish.cli import command\n"
        "try: command('train')\n"
        "except SystemExit as error: assert error.code == 2"
    )
    heavy = {"torch", "torchvision", "lightning", "torchmetrics", "optuna", "sklearn"}
    assert not heavy & imported_by(code, cwd=tmp_path)


def test_the_traceback_is_shown_on_request(tmp_path):
    done = launch("train", "debug=traceback", "seed=-1", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train(composed(*TINY), folder)
    return folder


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


def test_a_strangers_links_are_not_followed(finished, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("train.log", "eval.log", "metrics.csv", "checkpoints/last.ckpt"):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(finished, copy)
        (copy / name).unlink(missing_ok=True)
        (copy / name).symlink_to(precious)
        for verb, key in VERBS.items():
            done = launch(verb, f"{key}={copy}", cwd=tmp_path)
            assert done.returncode == 2, done.stdout + done.stderr
            assert f"{copy / name}: is a link" in done.stderr
    assert precious.read_text() == "precious"


def test_a_strangers_data_fetches_nothing_and_caches_where_burnish_does(tmp_path):
    from burnish.config.evaluation import evaluated
    from burnish.config.saved import continued

    data = {"_target_": "burnish.data.image_folder.ImageFolder", "root": "x", "cache": "disk",
            "cache_dir": "/evil", "download": True}  # fmt: skip
    saved = {**composed("name=x"), "data": data}
    ours = str(Path(os.environ["XDG_CACHE_HOME"]) / "burnish")
    for config in (continued(saved, []), evaluated(saved, composed("run=x", root="eval"))):
        assert config["data"]["cache_dir"] == ours
        assert config["data"]["download"] is False
    typed = ["data.cache_dir=/mine", "data.download=true"]
    assert continued(saved, typed)["data"] == {**data, "cache_dir": "/mine"}


def test_a_run_from_before_reports_can_be_resumed_with_one():
    from burnish.config.saved import continued

    saved = composed("name=x")
    del saved["report"], saved["layer"]
    asked = continued(saved, ["report=true", "layer=head"])
    assert (asked["report"], asked["layer"]) == (True, "head")


@pytest.mark.parametrize(
    "content",
    ["[]", '{"data": []}', '{"data": {"fingerprint": 1, "class_counts": {"train": "a"}}}'],
)
def test_a_damaged_provenance_is_no_bug(finished, tmp_path, content):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "provenance.json").write_text(content)
    done = launch("eval", f"run={copy}", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if content == "[]" else 0)


def edited(run: Path, folder: Path, key: str, value: object) -> Path:
    """A copy of a run, its config changed as a stranger would."""
    copy = folder / "stranger"
    shutil.copytree(run, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    *path, last = key.split(".")
    node = config
    for name in path:
        node = node[name]
    node[last] = value
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    return copy


VERBS = {"eval": "run", "train": "resume"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("model", "os.system"),
        ("model", "burnish.data.cores.os.system"),
        ("loss", "builtins.eval"),
        ("callbacks", "subprocess.run"),
        ("data", "torch.hub.load"),
    ],
)
def test_what_a_strangers_run_folder_names_is_not_executed(finished, tmp_path, verb, key, target):
    mark = tmp_path / "executed"
    node = {"_target_": target, "command": f"touch {mark}", "trust": True}
    value = {"x": node} if key == "callbacks" else node
    run = edited(finished, tmp_path, key, value)
    trusting = edited(run, tmp_path / "b", "trust", ["os", "subprocess", "builtins", "torch"])
    for folder in (run, trusting):
        done = launch(verb, f"{VERBS[verb]}={folder}", cwd=tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "._target_: " in done.stderr
        assert "Traceback" not in done.stderr
        assert not mark.exists()


@pytest.mark.parametrize("verb", [*VERBS, "init_from"])
def test_a_checkpoint_with_a_call_is_refused(finished, tmp_path, verb):
    mark = tmp_path / "executed"
    run = tmp_path / "stranger"
    shutil.copytree(finished, run)
    for which in ("best", "last"):
        content = torch.load(run / "checkpoints" / f"{which}.ckpt", weights_only=True)
        torch.save({**content, "x": Hostile(mark)}, run / "checkpoints" / f"{which}.ckpt")
    typed = {
        "eval": ("eval", f"run={run}"),
        "train": ("train", f"resume={run}"),
        "init_from": ("train", f"init_from={run}", *TINY),
    }[verb]
    done = launch(*typed, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nothing of it was executed" in done.stderr
    assert not mark.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callbacks", {"x": {"_target_": "lightning.pytorch.callbacks.OnExceptionCheckpoint",
                             "dirpath": "VICTIM", "filename": "best"}}),
        ("callbacks", {"x": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                             "_args_": ["victim", "best"], "enable_version_counter": False}}),
        ("callbacks", {"x": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                             "dirpath": ["victim"], "filename": "best"}}),
        ("logger", {"x": {"_target_": "lightning.pytorch.loggers.CSVLogger",
                          "_args_": ["victim"]}}),
        ("logger", {"x": {"_target_": "lightning.pytorch.loggers.CSVLogger",
                          "save_dir": "victim", "name": "csv", "version": ""}}),
        ("trainer.profiler", {"_target_": "lightning.pytorch.profilers.SimpleProfiler",
                              "dirpath": "../victim", "filename": "p"}),
        ("loss", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint.to_yaml",
                  "_args_": [{"_target_": "lightning.pytorch.callbacks.ModelCheckpoint"},
                             "VICTIM/best.ckpt"]}),
        ("data.mean", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint._link_checkpoint",
                       "trainer": {"_target_": "lightning.pytorch.Trainer"},
                       "filepath": "VICTIM/x.py", "linkpath": "VICTIM/best.ckpt"}),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_a_strangers_run_folder_writes_nowhere_else(finished, tmp_path, key, value):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "best.ckpt").write_text("precious")
    value = yaml.safe_load(yaml.safe_dump(value).replace("VICTIM", str(victim)))
    run = edited(finished, tmp_path, key, value)
    for verb, name in VERBS.items():
        done = launch(verb, f"{name}={run}", cwd=tmp_path)
        # eval builds neither callbacks nor loggers nor profilers: it may go on without them.
        assert done.returncode == 2 or (verb == "eval" and key[:4] in ("call", "logg", "trai"))
        assert "Traceback" not in done.stderr, done.stderr
        assert [p.name for p in victim.iterdir()] == ["best.ckpt"]
        assert (victim / "best.ckpt").read_text() == "precious"


@pytest.mark.parametrize("text", ["a: &a [*a]", "data: []\nmodel: 3\nseed: 0\ncompile: false"])
def test_a_broken_run_config_is_named(finished, tmp_path, text):
    run = tmp_path / "broken"
    shutil.copytree(finished, run)
    (run / "config.yaml").write_text(text)
    for verb, name in VERBS.items():
        done = launch(verb, f"{name}={run}", cwd=tmp_path)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr


def test_a_resumed_run_keeps_what_it_is(finished, tmp_path):
    line = (f"resume={finished}", "optimizer.lr=1", "trainer.max_epochs=3", "seed=4")
    done = launch("train", *line, cwd=tmp_path)
    assert done.returncode == 2
    assert "optimizer.lr: a resumed run keeps it" in done.stderr
    assert "seed: a resumed run keeps it" in done.stderr
    assert "max_epochs:" not in done.stderr


EVAL_MISTAKES = {
    "split=tset": "split: must be one of train, val, test, found 'tset'",
    "checkpoint=first": "checkpoint: must be best or last, found 'first'",
    "trainer.accelerator=tpuu": "trainer.accelerator: must be one of auto, cpu",
    "data.rot=x": "data.rot: there is no such key; did you mean data.root?",
}


@pytest.mark.parametrize("line", EVAL_MISTAKES)
def test_mistakes_of_eval(finished, tmp_path, line):
    done = launch("eval", f"run={finished}", line, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert EVAL_MISTAKES[line] in done.stderr


def test_eval_wants_a_run(tmp_path):
    done = launch("eval", cwd=tmp_path)
    assert done.returncode == 2
    assert "run: a value is required: run=..." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 0, "train a classifier"),
        (("--version",), 0, "burnish 0."),
        (("trian",), 2, "did you mean train?"),
        (("eval", "--help"), 0, "split=test|val|train"),
        (("explore", "--help"), 0, "max_classes_shown=20"),
        (("explore", "data=minst"), 2, "did you mean mnist?"),
        (("explore", "smaples=3"), 2, "did you mean samples?"),
        (("split", "--help"), 0, "Cut SOURCE into train, val and test tables"),
        (("split", "no.csv", "parts"), 2, "no.csv"),
        (("split",), 2, "usage: burnish split"),
    ],
)
def test_the_burnish_command(tmp_path, arguments, code, said):
    done = subprocess.run(
        [sys.executable, "-c", "from burnish.cli import main; main()", *arguments],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
