"""What class weights, samplers and the focal loss do for a class with 2 % of its samples.

    python benchmarks/imbalance.py data          the folder with MNIST/raw

MNIST, of whose training eights only 2 % are kept (about 100 of 5,300), validation and test as they
are; the MLP of conf/model/mlp.yaml, five epochs, three seeds. Printed: recall and precision of the
eights and the accuracy on the 10,000 test images, mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from burnish.build import build_module, build_trainer
from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.data.base import Splits
from burnish.data.mnist import MNIST

RARE, KEPT, EPOCHS, SEEDS = 8, 0.02, 5, (0, 1, 2)
WAYS = {
    "nothing": [],
    "loss.class_weights=balanced": ["loss.class_weights=balanced"],
    "data.sampler=balanced": ["data.sampler=balanced"],
    "data.sampler=undersample": ["data.sampler=undersample"],
    "loss=focal": ["loss=focal"],
    "loss=focal, balanced weights": ["loss=focal", "loss.class_weights=balanced"],
}


class FewEights(MNIST):
    """MNIST with a part of one class in the training split."""

    def _split(self, sources: Any) -> Splits:
        splits = super()._split(sources)
        source, rows = splits["train"]
        rare = rows[source.labels[rows] == RARE]
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(rare)))
        dropped = rare[order[round(KEPT * len(rare)) :]]
        return {**splits, "train": (source, rows[~torch.isin(rows, dropped)])}


def figures(root: str, overrides: list[str], seed: int) -> tuple[float, float, float]:
    with initialize_config_dir(config_dir=str(conf_dir())):
        cfg = compose("train", ["data=mnist", "model=mlp", "name=x", f"seed={seed}",
                                f"data.root={root}", f"trainer.max_epochs={EPOCHS}", "logger=none",
                                "callbacks=none", *overrides])  # fmt: skip
        config: Any = OmegaConf.to_container(cfg, resolve=True)
    pl.seed_everything(seed, verbose=False)
    data = FewEights(**{key: value for key, value in config["data"].items() if key != "_target_"})
    data.prepare_data()
    data.setup()
    module = build_module(config, data)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(config, Path(folder))
        trainer.fit(module, data)
        accuracy = trainer.test(module, data, verbose=False)[0]["test/accuracy"]
    confusion = module.test_metrics.confusion
    assert confusion is not None
    hits = float(confusion[RARE, RARE])
    return hits / float(confusion[RARE].sum()), hits / float(confusion[:, RARE].sum()), accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", help="the folder with MNIST/raw")
    root = parser.parse_args().root
    register()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    print(f"{'':<32}{'recall':>18}{'precision':>18}{'accuracy':>18}")
    for name, overrides in WAYS.items():
        runs = [figures(root, overrides, seed) for seed in SEEDS]
        cells = [
            f"{statistics.fmean(v):.4f} ± {statistics.stdev(v):.4f}"
            for v in zip(*runs, strict=True)
        ]
        print(f"{name:<32}" + "".join(f"{cell:>18}" for cell in cells))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
