"""burnish from Python: compose, fit, load a run, predict; the same checks as on the command line.

Example::

    import burnish

    experiment = burnish.compose("model=mlp", "trainer.max_epochs=5")
    run = burnish.fit(experiment)
    run.metrics["test/accuracy"]
    run.predict(images).labels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from burnish.config.compose import COMPOSITION_ERRORS, explain
from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.errors import ConfigError, DataError
from burnish.jobs import Evaluation, checked_evaluation, checked_training
from burnish.runs.curves import Curves, read_curves
from burnish.runs.folder import find_run
from burnish.spec import Spec, TextSpec

if TYPE_CHECKING:  # a configuration is composed without them
    from torch import Tensor, nn

    from burnish.data.base import DataModule
    from burnish.deploy.predictor import Predicted, Predictor


@dataclass(frozen=True)
class Experiment:
    """A configuration that passed every check.

    Args:
        config: plain containers, as a run folder's ``config.yaml`` holds them.
        overrides: what it was composed from.
        trusted: packages that it may name classes of.
    """

    config: dict[str, Any]
    overrides: tuple[str, ...]
    trusted: tuple[str, ...]

    @cached_property
    def data(self) -> DataModule:
        """Its data, read, split and described."""
        from burnish.build import build_data

        return build_data(self.config, self.trusted)


def compose(*overrides: str, config_dir: str | Path | None = None) -> Experiment:
    """Compose and check an experiment, as ``burnish train`` does with the same words.

    Args:
        *overrides: ``model=mlp``, ``trainer.max_epochs=5``, ``trust=[mine]`` and so on.
        config_dir: a folder of one's own that holds groups as well.

    Raises:
        ConfigError: naming every key that is wrong.
    """
    dirs = [] if config_dir is None else [Path(config_dir)]
    config, trusted = checked_training(_composed("train", overrides, dirs), list(overrides))
    return Experiment(config, overrides, tuple(trusted))


def fit(experiment: Experiment, folder: str | Path | None = None) -> Run:
    """Train, keep the best checkpoint, score it.

    Args:
        experiment: of :func:`compose`.
        folder: the run folder; None: a new one under ``paths.outputs``, or the one that
            ``resume=`` goes on in, which takes no other.

    Raises:
        BurnishError: if the data, the model or the training refuses.
    """
    from burnish.commands.quiet import quiet

    quiet()  # before the libraries that warn while they are imported
    from burnish.commands.train import train

    config = experiment.config
    begun = find_run(config["resume"], "resume")[0].path if config["resume"] else None
    if folder is not None and begun is not None:
        raise ConfigError(f"resume: goes on in {begun}; leave out folder={folder}")
    path = Path(folder or begun or _new_folder(config))
    path.mkdir(parents=True, exist_ok=True)
    trusted = experiment.trusted
    train(config, path, experiment.overrides, trusted, forget_refused=True)
    return load_run(path, *([f"trust=[{','.join(trusted)}]"] if trusted else []))


def load_run(path: str | Path, *overrides: str) -> Run:
    """A run folder, or a checkpoint in one; nothing that a stranger put there is executed.

    Args:
        path: the folder or the checkpoint.
        *overrides: of ``burnish eval``: ``checkpoint=last``, ``data.root=...``, ``trust=[mine]``.

    Raises:
        ConfigError: if the run's configuration, or an override, is wrong.
        RunError: if it is no run, or has no such checkpoint.
    """
    given = [f"run={_quoted(path)}", *overrides]
    return Run(checked_evaluation(_composed("eval", given), given))


class Run:
    """A finished training: what it wrote down, its net and its data.

    Args:
        asked: what ``burnish eval`` would be asked for.
    """

    def __init__(self, asked: Evaluation) -> None:
        self._asked = asked
        self.path: Path = asked.run.path
        self.config: dict[str, Any] = asked.config

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def metrics(self) -> dict[str, float]:
        """The figures in ``result.json``: of the last validation and of the final test."""
        found: dict[str, float] = self._asked.run.read_json("result")["metrics"]
        return found

    @property
    def curves(self) -> Curves:
        """What was logged while it was trained."""
        return read_curves(self.path)

    @cached_property
    def spec(self) -> Spec:
        """What the net knows of its data."""
        return self._restored[1]

    @cached_property
    def net(self) -> nn.Module:
        """The net with the checkpoint's weights, on the CPU, in evaluation mode."""
        return self._restored[0]

    @cached_property
    def _restored(self) -> tuple[nn.Module, Spec]:
        from burnish.commands.opened import Opened

        asked = self._asked
        return Opened(asked.run, asked.checkpoint, self.config, tuple(asked.trusted)).net()

    @cached_property
    def data(self) -> DataModule:
        """The data that it was trained on, described by its spec."""
        from burnish.build import build_data

        return build_data(self.config, self._asked.trusted, spec=self.spec)

    def evaluate(self, split: str = "test", *, report: bool = False) -> dict[str, float]:
        """Score a split as ``burnish eval`` does, with its table on the terminal.

        Args:
            split: ``train``, ``val`` or ``test``.
            report: also write the report into the run folder.
        """
        from burnish.commands.evaluate import evaluate

        asked = self._asked
        return evaluate(
            self.config, asked.run, asked.checkpoint, split, asked.trusted, report=report
        )

    def predict(self, inputs: Any, batch_size: int = 256) -> Predicted:
        """Classify images or texts, preprocessed as in evaluation.

        Args:
            inputs: what :meth:`~burnish.deploy.predictor.Predictor.predict` takes, or a tensor of
                images, uint8 in [0, 255] ``[N, C, H, W]`` of any size.
            batch_size: inputs a step.

        Raises:
            DataError: if there are none, or not of the kind that the run was trained on.
        """
        import torch

        if isinstance(inputs, torch.Tensor):
            return self._predict_tensor(inputs, batch_size)
        return self.predictor.predict(inputs, batch_size)

    @cached_property
    def predictor(self) -> Predictor:
        """Its net with its preprocessing."""
        from burnish.deploy.predictor import Predictor
        from burnish.deploy.runtime import torch_runtime

        return Predictor(self.spec, torch_runtime(self.net), self.path.name)

    def _predict_tensor(self, images: Tensor, batch_size: int) -> Predicted:
        import torch

        from burnish.data.normalise import resize
        from burnish.deploy.predictor import joined

        spec = self.spec
        if isinstance(spec, TextSpec):
            raise DataError("predict: this run was trained on texts: give a list of texts")
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != spec.channels:
            kind = str(images.dtype).removeprefix("torch.")
            raise DataError(
                f"predict: images must be uint8 [N, {spec.channels}, height, width], found "
                f"{kind} {list(images.shape)}"
            )
        return joined(
            self.predictor.predict_read([*resize(part, spec.height, spec.width).numpy()])
            for part in torch.split(images, batch_size)
            if len(part)
        )


def _composed(root: str, overrides: Sequence[str], dirs: Sequence[Path] = ()) -> DictConfig:
    """What Hydra's main would hand to the job: the run's name refers to Hydra's own state.

    Raises:
        ConfigError: naming every override that does not apply.
    """
    register()
    more = [f"hydra.searchpath=[{','.join(f'file://{d.resolve()}' for d in dirs)}]"] if dirs else []
    before = HydraConfig.instance().cfg
    try:
        with initialize_config_dir(config_dir=str(conf_dir()), job_name=root):
            cfg = hydra_compose(root, [*overrides, *more], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        OmegaConf.resolve(cfg)
    except COMPOSITION_ERRORS as error:
        problems, _ = explain(root, overrides, dirs)
        raise ConfigError(problems or str(error)) from error
    finally:
        HydraConfig.instance().cfg = before
    return cfg


def _quoted(path: str | Path) -> str:
    """A path as a value that Hydra's grammar takes as it is."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _new_folder(config: dict[str, Any]) -> Path:
    """Named as ``conf/train.yaml`` names it."""
    now, identity = datetime.now(), token_hex(3)
    name = f"{now:%H-%M-%S}-{config['name']}-{identity}"
    return Path(config["paths"]["outputs"], "train", f"{now:%Y-%m-%d}", name)
