"""burnish from Python: compose, fit, load a run, predict; the same checks as on the command line.

Example::

    import burnish

    experiment = burnish.compose("model=mlp", "trainer.max_epochs=5")
    run = burnish.fit(experiment)
    run.metrics["test/accuracy"]
    run.predict(images).labels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from burnish.spec import Spec, TextSpec, spec_from_dict

if TYPE_CHECKING:  # a configuration is composed without them
    from torch import Tensor, nn

    from burnish.data.base import DataModule


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
            ``resume=`` goes on in.

    Raises:
        BurnishError: if the data, the model or the training refuses.
    """
    from burnish.commands.quiet import quiet

    quiet()  # before the libraries that warn while they are imported
    from burnish.commands.train import train

    config = experiment.config
    path = Path(folder or config["resume"] or _new_folder(config))
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
        return spec_from_dict(self._asked.run.read_json("spec"))

    @cached_property
    def net(self) -> nn.Module:
        """The net with the checkpoint's weights, on the CPU, in evaluation mode."""
        from burnish.build import build_net
        from burnish.learner.module import load_weights, net_weights
        from burnish.runs.weights import read_checkpoint

        net = build_net(self.config, self.spec, self._asked.trusted, pretrained=False)
        load_weights(net, net_weights(read_checkpoint(self._asked.checkpoint)))
        return net.eval()

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

    def predict(self, inputs: Tensor | Sequence[str], batch_size: int = 256) -> Predicted:
        """Classify images or texts, preprocessed as in evaluation.

        Args:
            inputs: images, uint8 in [0, 255] ``[N, C, H, W]`` of any size; or N texts.
            batch_size: inputs a step.

        Raises:
            DataError: if there are none, or not of the kind that the run was trained on.
        """
        import torch

        if not len(inputs):
            raise DataError("predict: there is nothing to predict: the inputs are empty")
        net, prepared = self.net, _prepared(inputs, self.spec)
        with torch.inference_mode():
            logits = [
                net(prepared(rows)) for rows in torch.split(torch.arange(len(inputs)), batch_size)
            ]
        return Predicted(torch.cat(logits).float().softmax(1), self.spec.class_names)


@dataclass(frozen=True)
class Predicted:
    """What a net says of N inputs.

    Args:
        probabilities: float32 ``[N, K]``, rows sum to 1.
        class_names: K names.
    """

    probabilities: Tensor
    class_names: tuple[str, ...]

    @property
    def classes(self) -> Tensor:
        """The likeliest class of each input, int64 ``[N]``."""
        return self.probabilities.argmax(1)

    @property
    def labels(self) -> list[str]:
        """Its name."""
        return [self.class_names[i] for i in self.classes.tolist()]

    @property
    def confidence(self) -> Tensor:
        """Its probability, float32 ``[N]``."""
        return self.probabilities.amax(1)


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


def _prepared(inputs: Tensor | Sequence[str], spec: Spec) -> Callable[[Tensor], Tensor]:
    """From rows of the inputs, int64 ``[B]``, to what the net receives of them."""
    import torch

    if isinstance(spec, TextSpec):
        from burnish.data.text_table import Texts, encode
        from burnish.data.tokenize import tokenizer

        if isinstance(inputs, str) or not all(isinstance(text, str) for text in inputs):
            raise DataError("predict: this run was trained on texts: give a list of texts")
        labels = torch.zeros(len(inputs), dtype=torch.int64)
        table = encode(Texts(list(inputs), labels), tokenizer(spec), spec.max_length)
        return lambda rows: table.__getitems__(rows)[0]
    from burnish.data.normalise import Normaliser, resize

    images = inputs
    wanted = f"uint8 [N, {spec.channels}, height, width]"
    if not isinstance(images, torch.Tensor):
        raise DataError(f"predict: this run was trained on images: give a tensor {wanted}")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != spec.channels:
        kind = str(images.dtype).removeprefix("torch.")
        raise DataError(f"predict: images must be {wanted}, found {kind} {list(images.shape)}")
    normalise = Normaliser(spec.mean, spec.std)
    return lambda rows: normalise(resize(images[rows], spec.height, spec.width))
