"""predict: classify files, folders, tables or standard input with a run or a bundle."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from burnish.commands.predictors import load_predictor
from burnish.data.cores import cores
from burnish.data.decode import read_image
from burnish.deploy.batch.inputs import items_of
from burnish.deploy.batch.items import Item
from burnish.deploy.batch.outputs import FORMATS, STDOUT, Answer, opened, partial_of, writer
from burnish.deploy.batch.reading import Ready, batches, read_ahead
from burnish.deploy.predictor import Predictor
from burnish.deploy.tta import KINDS, augmented
from burnish.errors import ConfigError
from burnish.runs.console import printable
from burnish.spec import ImageSpec

if TYPE_CHECKING:
    from burnish.report.contact_sheet import LeastSure

Options = Mapping[str, Any]

NAMED = 20  # unreadable items named on the terminal; the rest are counted
PICTURES = (".png", ".pdf")
FINE = 280  # pixels of a picture's width in the figure: as many as its paper shows


def main(options: Options) -> int:
    """Predict; the exit code is 1 if items could not be read.

    Raises:
        BurnishError: if an option, the net or the input is of no use.
    """
    _check(options)
    threads = options["threads"] or cores()
    predictor = augmented(
        load_predictor(options["run"], options["checkpoint"], options["trust"], threads),
        options["tta"],
    )
    spec = predictor.spec
    images = isinstance(spec, ImageSpec)
    _check_kind(options, images)
    notes: list[str] = []
    items = _items(options, images, notes)
    sheet = _least_sure(spec) if options["figure"] and isinstance(spec, ImageSpec) else None
    # The net has the other half; more readers of small pictures fight over the interpreter, and
    # two are slower than one. Texts are ready as they are.
    readers = max(1, threads // 2) if images else 0
    ready = read_ahead(items, predictor.preprocess.read, readers, options["batch_size"])
    answers = answered(predictor, ready, options["batch_size"])
    failed = _write(options, answers, spec.class_names, notes, sheet)
    if sheet is not None and sheet.total:
        sheet.save(Path(options["figure"]).expanduser())
    return 1 if failed else 0


def answered(
    predictor: Predictor, ready: Iterable[Ready], batch_size: int
) -> Iterator[list[Answer]]:
    """What the net says, batch by batch; items with an error, or no finite answer, keep theirs."""
    for batch in batches(ready, batch_size):
        good = [value for item, value in batch if item.error is None]
        found = predictor.predict_read(good).probabilities if good else np.empty((0, 1))
        rows = zip(found, np.isfinite(found.sum(1)).tolist(), strict=True)
        yield [
            Answer(item, None) if item.error is not None else _answer(item, *next(rows))
            for item, _ in batch
        ]


def _answer(item: Item, row: NDArray[np.float32], finite: bool) -> Answer:
    if finite:
        return Answer(item, row)
    return Answer(item._replace(error="the net's answer is not a number"), None)


# --- options -------------------------------------------------------------------------------------


def _check(options: Options) -> None:
    problems = []
    if bool(options["input"]) == bool(options["text"]):
        problems.append("input: must be given, a file, folder, table or -; or text='...' instead")
    for key, known in (("format", FORMATS), ("tta", KINDS)):
        if options[key] not in known:
            problems.append(f"{key}: must be {', '.join(known)}, found {options[key]!r}")
    threads = options["threads"]
    if threads is not None and not (type(threads) is int and threads > 0):
        problems.append(f"threads: must be a whole number from 1, or null, found {threads!r}")
    for key, least in (("batch_size", 1), ("top", 0)):
        if options[key] < least:
            problems.append(f"{key}: must be at least {least}, found {options[key]}")
    column = options["column"]
    if column is not None and type(column) not in (int, str):
        problems.append(f"column: must be a name or a position from 0, found {column!r}")
    if options["figure"] and Path(options["figure"]).suffix.lower() not in PICTURES:
        problems.append(f"figure: must end in .png or .pdf, found {options['figure']!r}")
    problems += _occupied(options)
    if problems:
        raise ConfigError(problems)


def _occupied(options: Options) -> Iterator[str]:
    for key in ("output", "figure"):
        path = Path(options[key] or STDOUT).expanduser()
        if options[key] in ("", STDOUT):
            continue
        if path.is_dir():
            yield f"{key}: {path} is a folder; give a file"
        elif not path.parent.is_dir():
            yield f"{key}: there is no folder {path.parent}"
        elif path.is_file() and not options["overwrite"]:
            yield f"{key}: {path} exists; overwrite=true replaces it"


def _check_kind(options: Options, images: bool) -> None:
    if options["text"] and images:
        raise ConfigError("text: this net classifies images: give input=...")
    if options["figure"] and not images:
        raise ConfigError("figure: shows pictures, and this net classifies texts; format=table")


def _items(options: Options, images: bool, notes: list[str]) -> Iterator[Item]:
    if options["text"]:
        return iter([Item(options["text"], options["text"])])
    return items_of(options["input"], options["column"], images, notes)


def _least_sure(spec: ImageSpec) -> LeastSure:
    """Pictures for the figure: cut out as for the net, but in more pixels."""
    from burnish.report.contact_sheet import LeastSure

    def read(content: Any) -> NDArray[np.uint8]:
        file = io.BytesIO(content) if isinstance(content, bytes) else Path(content)
        with Image.open(file) as image:
            least = min(image.width / spec.width, image.height / spec.height)
        more = max(1, min(least, FINE / spec.width))
        return read_image(file, round(more * spec.height), round(more * spec.width), spec.channels)

    return LeastSure(spec.class_names, read)


# --- writing -------------------------------------------------------------------------------------


def _write(
    options: Options,
    answers: Iterator[list[Answer]],
    names: Sequence[str],
    notes: list[str],
    sheet: LeastSure | None,
) -> int:
    """Write all answers, with errors and a summary on standard error; how many errors."""
    output = options["output"] or STDOUT
    shaped = writer(options["format"], names, options["top"], options["probabilities"])
    count = failed = 0
    begun = time.monotonic()
    # The bar and the answers would overwrite each other on one terminal.
    hidden = not sys.stderr.isatty() or (output == STDOUT and sys.stdout.isatty())
    try:
        with opened(output) as write, tqdm(unit=" inputs", disable=hidden) as bar:
            write(shaped(None))
            for batch in answers:
                write(shaped(batch))
                for answer in batch:
                    if answer.probabilities is None:
                        failed += 1
                        _name(answer.item, failed)
                    elif sheet is not None:
                        sheet.add(answer.item.name, answer.item.content, answer.probabilities)
                count += len(batch)
                bar.update(len(batch))
    except KeyboardInterrupt:
        where = "" if output == STDOUT else f"; they lie in {partial_of(Path(output).expanduser())}"
        _tell(f"stopped after {count:,} inputs{where}")
        raise
    for note in notes:
        _tell(note)
    if failed > NAMED:
        _tell(f"and {failed - NAMED:,} more that could not be read")
    if count > 1 or failed:
        _tell(_summary(count, failed, time.monotonic() - begun))
    return failed


def _name(item: Item, number: int) -> None:
    if number <= NAMED:
        line = f", line {item.line}" if item.line is not None else ""
        _tell(f"error: {item.name[:200]}{line}: {item.error}")


def _summary(count: int, failed: int, seconds: float) -> str:
    text = f"{count:,} inputs in {seconds:.1f} s ({count / max(seconds, 1e-9):,.0f} a second)"
    return f"{text}, {failed:,} of them could not be read" if failed else text


def _tell(text: str) -> None:
    """One line to standard error, above the bar."""
    line = printable(text.replace("\n", "\\n").replace("\t", "\\t"))
    tqdm.write(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
