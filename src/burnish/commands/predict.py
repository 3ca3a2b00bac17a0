"""predict: classify files, folders, tables or standard input with a run or a bundle."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from burnish.commands.predictors import load_predictor, threads_fault
from burnish.commands.stopping import terminable
from burnish.data.cores import cores
from burnish.data.decode import describe, read_image
from burnish.deploy.batch.inputs import STDIN, items_of
from burnish.deploy.batch.items import Item
from burnish.deploy.batch.outputs import FORMATS, Answer, writer
from burnish.deploy.batch.reading import Ready, batches, read_ahead
from burnish.deploy.batch.writing import STDOUT, STREAMS, opened, save
from burnish.deploy.predictor import Predictor
from burnish.deploy.tta import KINDS, augmented
from burnish.errors import ConfigError, DataError, Interrupted
from burnish.runs.console import printable, short
from burnish.spec import ImageSpec

if TYPE_CHECKING:
    from burnish.report.contact_sheet import LeastSure

Options = Mapping[str, Any]

NAMED = 20  # unreadable items named on the terminal; the rest are counted
PICTURES = (".png", ".pdf")
MOST = 65_536  # inputs a step: as floats as many photographs fill 40 GB
FINE = 280  # pixels of a picture's width in the figure: as many as its paper shows


def main(options: Options) -> int:
    """Predict; the exit code is 1 if items could not be read.

    Raises:
        BurnishError: if an option, the net or the input is of no use.
    """
    if sys.stderr is None:  # closed; an open one also keeps its number from the next file
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    with terminable():
        return _predict(options)


def _predict(options: Options) -> int:
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
    if images:
        items = _spared(items, _replaced(options))
    sheet = _least_sure(spec) if options["figure"] and isinstance(spec, ImageSpec) else None
    # The net has the other half; more readers of small pictures fight over the interpreter, and
    # two are slower than one. Texts are ready as they are.
    readers = max(1, threads // 2) if images else 0
    ready = read_ahead(items, predictor.preprocess.read, readers, options["batch_size"])
    answers = answered(predictor, ready, options["batch_size"])
    failed = _write(options, answers, spec.class_names, notes, sheet)
    if sheet is not None and sheet.total:
        path = Path(options["figure"]).expanduser()
        save("figure", path, sheet.drawn(path.suffix[1:].lower()))
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
    if not 1 <= options["batch_size"] <= MOST:
        problems.append(f"batch_size: must be 1 to {MOST}, found {options['batch_size']}")
    if options["top"] < 0:
        problems.append(f"top: must be at least 0, found {options['top']}")
    if fault := threads_fault(options["threads"], least=0):
        problems.append(fault)
    if options["column"] is not None and options["text"]:
        problems.append(f"column: goes with input=, not with text=, found {options['column']!r}")
    if options["figure"] and Path(options["figure"]).suffix.lower() not in PICTURES:
        problems.append(f"figure: must end in .png or .pdf, found {options['figure']!r}")
    problems += _occupied(options)
    if problems:
        raise ConfigError(problems)


def _occupied(options: Options) -> Iterator[str]:
    places = _places(options)
    source = 0 if options["input"] == STDIN else Path(options["input"]).expanduser()
    for key, path in places.items():
        if path.is_dir():
            yield f"{key}: {path} is a folder; give a file"
        elif not path.parent.is_dir():
            yield f"{key}: there is no folder {path.parent}"
        elif path.is_file() and _identity(path) == _identity(source):
            yield f"{key}: {path} is the input; give another file"
        elif path.is_file() and not options["overwrite"]:
            yield f"{key}: {path} exists; overwrite=true replaces it"
    if len({path.resolve() for path in places.values()}) < len(places):
        yield "figure: is the file of output; give another"


def _places(options: Options) -> dict[str, Path]:
    """The files that are to be written, by their keys."""
    asked = {key: options[key] for key in ("output", "figure")}
    return {k: Path(name).expanduser() for k, name in asked.items() if name not in ("", *STREAMS)}


def _identity(file: str | Path | int) -> tuple[int, int] | None:
    """The same for all names of a file."""
    with suppress(OSError, ValueError):
        status = os.stat(file)  # noqa: PTH116
        return status.st_dev, status.st_ino
    return None


def _replaced(options: Options) -> dict[tuple[int, int], str]:
    """Files that are to be overwritten, with what to say of them."""
    found = {
        _identity(path): f"{key}: {path} is one of the pictures to classify; give another file"
        for key, path in _places(options).items()
        if path.is_file()
    }
    return {identity: text for identity, text in found.items() if identity is not None}


def _spared(items: Iterator[Item], replaced: Mapping[tuple[int, int], str]) -> Iterator[Item]:
    """The same items, none of which is to be overwritten."""
    for item in items:
        identity = _identity(item.content) if replaced and isinstance(item.content, str) else None
        if identity is not None and identity in replaced:
            raise ConfigError(replaced[identity])
        yield item


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
    if find_spec("matplotlib") is None:
        raise ConfigError("figure: matplotlib is not installed: pip install matplotlib")
    from burnish.report.contact_sheet import LeastSure

    def read(content: Any) -> NDArray[np.uint8]:
        file = io.BytesIO(content) if isinstance(content, bytes) else Path(content)
        try:
            with Image.open(file) as image:
                least = min(image.width / spec.width, image.height / spec.height)
        except OSError as error:  # it has changed since it was classified
            raise DataError(f"figure: {content}: {describe(error)}") from error
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
    partial: Path | None = None
    shaped = writer(options["format"], names, options["top"], options["probabilities"])
    count = failed = 0
    begun = time.monotonic()
    # The bar and the answers would overwrite each other on one terminal.
    hidden = not sys.stderr.isatty() or (output in STREAMS and os.isatty(1))
    try:
        with opened(output) as target, tqdm(unit=" inputs", disable=hidden) as bar:
            partial = target.partial
            target.write(shaped(None))
            for batch in answers:
                target.write(shaped(batch))
                for answer in batch:
                    if answer.probabilities is None:
                        failed += 1
                        _name(answer.item, failed)
                    elif sheet is not None:
                        sheet.add(answer.item.name, answer.item.content, answer.probabilities)
                count += len(batch)
                bar.update(len(batch))
    except BaseException as error:
        _tell_of_stop(error, count, partial)
        raise
    for note in notes:
        _tell(note)
    if failed > NAMED:
        _tell(f"and {failed - NAMED:,} more that could not be read")
    if count > 1 or failed:
        _tell(_summary(count, failed, time.monotonic() - begun))
    return failed


def _tell_of_stop(error: BaseException, count: int, partial: Path | None) -> None:
    if partial is not None and not count:
        partial.unlink(missing_ok=True)
        partial = None
    where = f"; they lie in {short(partial)}" if partial else ""
    if where or isinstance(error, KeyboardInterrupt | Interrupted):
        _tell(f"stopped after {count:,} input{'s' * (count != 1)}{where}")


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
