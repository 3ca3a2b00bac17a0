"""How fast predict classifies files, and that its memory does not grow with them.

    python benchmarks/predict_files.py RUN BUNDLE [--root data] [--counts 1000 60000]

RUN is a run on MNIST, BUNDLE what was exported from it. Digits of the training files become PNG
files in a temporary folder, a hundred in each of its folders; in the last round one in a hundred
of them is cut in half. `python src/predict.py` then runs on the folder, with the run and the
bundle in turn. Items per second are those of the command's own clock (without its start), seconds
and peak resident memory those of the whole process as the kernel counts them.
"""

from __future__ import annotations

import argparse
import gzip
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

SOURCE = Path(__file__).resolve().parents[1] / "src" / "predict.py"
A_FOLDER = 100


def digits(root: Path) -> np.ndarray:
    """The training images of MNIST, uint8 ``[60000, 28, 28]``."""
    path = root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    content = (
        gzip.decompress(path.read_bytes()) if path.exists() else path.with_suffix("").read_bytes()
    )
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28)


def write(folder: Path, images: np.ndarray, broken: bool) -> None:
    """One PNG a digit; with ``broken`` one in a hundred is cut in half."""
    for i, pixels in enumerate(images):
        file = folder / f"{i // A_FOLDER:04d}" / f"{i:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        if broken and i % 100 == 50:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def measured(net: str, folder: Path, output: Path, words: list[str]) -> dict[str, float]:
    """One command: items per second, seconds, peak MiB, lines with an error."""
    command = [sys.executable, str(SOURCE), f"run={net}", f"input={folder}", f"output={output}"]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([*command, "overwrite=true", *words], stderr=said)
        peak = 0
        while process.poll() is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.05)
        seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        said.seek(0)
        text = said.read()
    found = re.search(r"inputs in ([\d.]+) s", text)
    if process.returncode not in (0, 1) or found is None:
        raise SystemExit(text)
    with output.open() as lines:
        errors = [line.endswith('"}\n') and '"error": ' in line for line in lines]
    return {
        "items": len(errors),
        "items/s": len(errors) / float(found[1]),
        "seconds": seconds,
        "cpu s": sum(after[:2]) - sum(before[:2]),
        "peak MiB": peak / 1024,
        "errors": sum(errors),
    }


def high_water(pid: int) -> int:
    """Peak resident KiB; what wait4 says of a child includes what its parent had."""
    with suppress(FileNotFoundError, ProcessLookupError):
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) if found else 0
    return 0


def rounds(counts: list[int]) -> Iterator[tuple[int, bool]]:
    yield from ((count, False) for count in counts)
    yield counts[-1], True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("bundle")
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 60_000])
    parser.add_argument("--words", nargs="*", default=[], help="options of predict")
    args = parser.parse_args()
    images = digits(args.root)
    print(f"{'net':<8}{'broken':<8}{'items':>8}{'items/s':>9}{'seconds':>9}{'cpu s':>8}"
          f"{'peak MiB':>10}{'errors':>8}")  # fmt: skip
    for count, broken in rounds(args.counts):
        with tempfile.TemporaryDirectory() as scratch:
            folder, output = Path(scratch) / "digits", Path(scratch) / "said.jsonl"
            write(folder, images[:count], broken)
            for name, net in (("bundle", args.bundle), ("run", args.run)):
                got = measured(net, folder, output, args.words)
                print(
                    f"{name:<8}{'1 %' if broken else '-':<8}{got['items']:>8,}"
                    f"{got['items/s']:>9,.0f}{got['seconds']:>9.1f}{got['cpu s']:>8.1f}"
                    f"{got['peak MiB']:>10,.0f}{got['errors']:>8,}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
