"""What ``burnish runs VERB`` costs over 2,000 run folders: wall seconds of a fresh interpreter.

    python benchmarks/runs.py [--runs 2000]

The folders are synthetic, with real files in them, in a temporary folder; rounds are interleaved
and the median is printed, beside a bare ``import yaml``, which every verb pays.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from burnish.config.paths import conf_dir
from burnish.config.resolvers import register
from burnish.runs.folder import RunFolder

ROUNDS = 3
EPOCHS = 15
START = "import sys; from burnish.commands.runs import main; sys.exit(main(sys.argv[1:]))"


def cases(root: Path) -> dict[str, list[str]]:
    """Verb by verb, with what makes it read the most."""
    a, b = (str(path) for path in sorted(root.glob("train/*/*"))[:2])
    page, figure = str(root / "log.html"), str(root / "curves.png")
    return {
        "list": ["list"],
        "list --limit 0": ["list", "--limit", "0"],
        "list --format json": ["list", "--format", "json"],
        "list --sort test/accuracy": ["list", "--sort", "test/accuracy"],
        "list --where optimizer.lr<0.01": ["list", "--where", "optimizer.lr<0.01"],
        "list --where model.hidden=512": ["list", "--where", "model.hidden=512"],
        "show": ["show", a],
        "diff": ["diff", a, b],
        "best": ["best"],
        "table": ["table"],
        "clean": ["clean"],
        "log": ["log", "--output", page],
        "plot": ["plot", a, b, "--output", figure],
    }


def make(root: Path, count: int) -> None:
    """Run folders as training leaves them: 20 experiments of seeds, some failed."""
    register()
    with initialize_config_dir(config_dir=str(conf_dir())):
        config = OmegaConf.to_container(compose("train", ["name=digits"]), resolve=True)
    assert isinstance(config, dict)
    draw = random.Random(0)
    for index in range(count):
        path = root / "train" / f"2026-01-{1 + index // 100:02d}" / f"12-00-00-digits-{index:06x}"
        path.mkdir(parents=True)
        config["seed"], config["optimizer"]["lr"] = index, 10 ** -(1 + index % 20 / 5)
        write(RunFolder(path), config, [f"optimizer.lr={config['optimizer']['lr']}"], draw)


def write(run: RunFolder, config: dict[str, object], typed: list[str], draw: random.Random) -> None:
    """One run of fifteen epochs."""
    names = ("loss", "accuracy", "f1", "precision", "recall")
    metrics = {f"{split}/{name}": draw.random() for split in ("val", "test") for name in names}
    run.write_yaml("config", config)
    run.write_yaml("overrides", [*typed, f"seed={config['seed']}"])
    run.write_json(
        "result",
        {
            "status": "finished" if draw.random() < 0.95 else "failed",
            "exception": None,
            "began": "2026-01-31T12:00:00+00:00",
            "metrics": metrics,
            "best": {"monitor": "val/accuracy", "value": draw.random(), "epoch": EPOCHS - 1},
            "epochs": EPOCHS,
            "seconds": draw.uniform(1, 100),
        },
    )
    rows = [f"{20 * e},{e},{1 / (e + 1)},{draw.random()}" for e in range(EPOCHS)]
    curves = "\n".join(["step,epoch,val/loss,train/loss", *rows])
    (run.path / "metrics.csv").write_text(f"{curves}\n", encoding="utf-8")
    story = "# digits\n\n## Observations\n\n- Something was seen.\n\n## Next step\n\nMore.\n"
    (run.path / "experiment.md").write_text(story, encoding="utf-8")


def seconds(arguments: Sequence[str]) -> float:
    """Wall time of one fresh interpreter."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(
        [sys.executable, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, count)
        start = ["-c", START]
        commands = {name: [*start, *words, "--root", folder] for name, words in cases(root).items()}
        commands = {"import yaml": ["-c", "import yaml"], **commands}
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, words in commands.items():
                taken[name].append(seconds(words))
    print(f"{f'burnish runs, {count:,} runs':<34}{'seconds':>8}{'ms a run':>10}")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<34}{median:>8.2f}{1000 * median / count:>10.2f}")


if __name__ == "__main__":
    main()
