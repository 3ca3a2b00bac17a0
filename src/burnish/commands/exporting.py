"""From a run to a bundle, for the verbs that need one; a bundle that is ready needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.commands.opened import Opened, open_run
from burnish.deploy.bundle import EXPORTS, Bundle, is_bundle, read_bundle, sha256
from burnish.errors import BundleError, BurnishError
from burnish.runs.console import say, short
from burnish.runs.folder import find_run
from burnish.spec import Spec, TextSpec

if TYPE_CHECKING:
    from burnish.data.base import DataModule
    from burnish.deploy.making import Trained

# Inputs in a bundle's sample: enough to see that a net answers, few enough to look at.
SAMPLES = 4
# Where data may lie now, by the keys of conf/eval.yaml.
Places = Mapping[str, Any]


def ready_bundle(location: str, checkpoint: str = "best", trusted: Sequence[str] = ()) -> Bundle:
    """What a user typed as an exported net: a bundle as it is, a run's own, or one made now.

    Args:
        location: a bundle, a run folder, or a checkpoint in one.
        checkpoint: ``best`` or ``last`` of a run folder.
        trusted: packages that the run's configuration may name classes of.

    Raises:
        BundleError: if the bundle is damaged, cannot be made, or an extra is missing.
        ConfigError: if the run's configuration names what it may not.
        RunError: if there is no such run or checkpoint.
    """
    path = Path(location).expanduser()
    if is_bundle(path):
        return read_bundle(path)
    run, named = find_run(location)
    if named or checkpoint in ("best", "last"):  # else open_run says what is wrong
        found = kept(run.path / EXPORTS / "onnx", named or run.checkpoint(checkpoint))
        if found is not None:
            return found
    from burnish.config.plain import admitted

    opened = open_run(location, checkpoint, admitted(trusted))
    from burnish.deploy.making import make_bundle

    say(f"{short(opened.checkpoint)}: exporting to ONNX, half a minute at most for most nets")
    data, _ = data_of(opened, {})
    return make_bundle(trained(opened, data), "onnx", run.path / EXPORTS / "onnx")


def kept(folder: Path, checkpoint: Path) -> Bundle | None:
    """The whole ONNX bundle in floats in a folder, if it was made from this very checkpoint."""
    with suppress(BundleError):
        bundle = read_bundle(folder) if is_bundle(folder) else None
        source = bundle.card.get("source") if bundle else None
        if bundle is None or bundle.format != "onnx" or bundle.card.get("quantize") != "none":
            return None
        if isinstance(source, Mapping) and source.get("checkpoint_sha256") == sha256(checkpoint):
            bundle.verify_hash()
            return bundle
    return None


def trained(opened: Opened, data: DataModule | None) -> Trained:
    """The net of a run, with inputs from its data, or made up if that is not at hand.

    Raises:
        ModelError: if the weights do not fit the net.
        RunError: if the checkpoint cannot be read.
    """
    from burnish.deploy.making import Trained

    net, spec = opened.net()
    if data is None:
        sample, validation = made_up(spec), None
    else:
        sample = [*items_of(data, "val", SAMPLES)]

        def validation() -> Iterator[Any]:
            return items_of(data, "val")

    source = {
        "run": opened.run.path.name,
        "checkpoint": opened.checkpoint.name,
        "checkpoint_sha256": sha256(opened.checkpoint),
    }
    config = opened.run.path / "config.yaml"
    name = str(opened.config.get("name") or opened.run.path.name)
    return Trained(net, spec, config, name, source, sample, validation)


def data_of(opened: Opened, places: Places) -> tuple[DataModule | None, str]:
    """A run's data as it was trained on; without it, why there is none.

    Args:
        opened: the run.
        places: where data lies now, if it moved. Given one, data must be there.

    Raises:
        ConfigError: if the data knows no such place.
        DataError: if it is not at a place that was given.
    """
    from burnish.build import build_data
    from burnish.config.evaluation import evaluated
    from burnish.runs.weights import read_checkpoint, spec_of

    asked = {
        "split": "val",
        "data": places,
        "trainer": {"accelerator": None, "devices": 1, "precision": None},
        "report": False,
        "layer": None,
        "compile": None,
    }
    config = evaluated(opened.config, asked)
    spec = spec_of(read_checkpoint(opened.checkpoint), opened.checkpoint)
    try:
        return build_data(config, opened.trusted, spec=spec), ""
    except BurnishError as error:
        if any(value is not None for value in places.values()):
            raise
        return None, str(error)


def items_of(data: DataModule, split: str, most: int | None = None) -> Iterator[Any]:
    """Samples of a split in random, repeatable order, as ``preprocess.read`` returns them.

    Args:
        data: set up.
        split: ``train``, ``val`` or ``test``.
        most: how many; None: all.
    """
    import torch

    from burnish.data.normalise import resize
    from burnish.data.text_table import TextTable

    source, rows = data.splits[split]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most]
    for some in torch.split(rows[order], 64):
        if isinstance(source, TextTable):
            yield from (source.texts[row] for row in some.tolist())
        else:
            images, _ = source.__getitems__(some.tolist())
            assert not isinstance(data.spec, TextSpec)
            yield from resize(images, data.spec.height, data.spec.width).numpy()


def made_up(spec: Spec) -> list[Any]:
    """Inputs of random pixels, or of random words of the vocabulary."""
    import numpy as np

    random = np.random.default_rng(0)
    if isinstance(spec, TextSpec):
        space = "" if spec.tokenizer == "char" else " "
        words = spec.vocabulary[2:] or spec.vocabulary
        return [space.join(random.choice(words, size=4 * (i + 1))) for i in range(SAMPLES)]
    shape = SAMPLES, spec.channels, spec.height, spec.width
    return [*random.integers(0, 256, shape, dtype=np.uint8)]
