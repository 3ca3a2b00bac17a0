"""``burnish export``: a run's net as bundles, verified, quantized and compared if asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from burnish.commands.exporting import data_of, kept, trained
from burnish.commands.opened import Opened, open_run
from burnish.commands.stopping import terminable
from burnish.deploy.bundle import EXPORTS, FILES, Bundle, is_bundle
from burnish.deploy.quantize import METHODS
from burnish.deploy.verify import Differs
from burnish.errors import BundleError, ConfigError, DataError
from burnish.runs.console import open_log, printable, say, short

if TYPE_CHECKING:
    from burnish.data.base import DataModule
    from burnish.deploy.making import Trained

NOTES = {"torchscript": "torch has deprecated TorchScript; prefer onnx or torch_export"}


def main(options: Mapping[str, Any]) -> int:
    """Export as asked.

    Args:
        options: of ``conf/export.yaml``.

    Returns:
        The exit code: 1 if a net differs from what it was made from, or int8 loses too much.

    Raises:
        BurnishError: for what the user can mend.
    """
    open_log(None)
    _check(options)
    from burnish.config.plain import admitted

    opened = open_run(options["run"], options["checkpoint"], admitted(options["trust"]))
    if options["output"] is not None and options["format"] != "all":
        from burnish.deploy.making import check_place

        check_place(Path(options["output"]))
    from burnish.commands.quiet import quiet

    quiet()
    try:
        with terminable(), TemporaryDirectory() as scratch:
            exporter = Exporter(opened, options, Path(scratch))
            bundles, failed = _export(exporter)
            if options["benchmark"]:
                _benchmark(exporter, bundles)
    except Differs as error:
        print(f"error: {printable(str(error))}; the bundle was not kept", file=sys.stderr)
        return 1
    return int(failed)


@dataclass(frozen=True)
class Exporter:
    """What all bundles of one command share, read when it is first needed.

    Args:
        opened: the run.
        options: of the command.
        scratch: a folder for what is not kept.
    """

    opened: Opened
    options: Mapping[str, Any]
    scratch: Path

    @cached_property
    def data(self) -> DataModule | None:
        """The run's data; a note says why there is none."""
        data, reason = data_of(self.opened, self.options["data"])
        if data is None:
            say(f"note: without data, so without a drift reference and a real sample: {reason}")
        return data

    @cached_property
    def trained(self) -> Trained:
        """The net."""
        return trained(self.opened, self.data)

    def place(self, name: str) -> Path:
        """Where a bundle goes."""
        output = self.options["output"]
        if output is None:
            return self.kept(name)
        return Path(output, name) if self.options["format"] == "all" else Path(output)

    def kept(self, name: str) -> Path:
        """Where the run keeps a bundle."""
        return self.opened.run.path / EXPORTS / name

    def one(self, format: str, place: Path) -> Bundle:
        """Export the net in floats."""
        from burnish.deploy.making import make_bundle

        net = self.trained  # read before the clock runs
        return _told(format, lambda: make_bundle(net, format, place))

    @cached_property
    def base(self) -> Bundle:
        """The ONNX bundle in floats that int8 and mar are made of.

        With ``output=`` nothing is written into the run.
        """
        own, elsewhere = self.kept("onnx"), self.options["output"] is not None
        places = [self.place("onnx"), own] if self.options["format"] == "all" else [own]
        for place in places:
            if found := kept(place, self.opened.checkpoint):
                return found
        return self.one("onnx", self.scratch / "onnx" if elsewhere else own)

    def int8(self, place: Path) -> Bundle:
        """Quantize the ONNX bundle."""
        from burnish.commands.measuring import quantized

        net, options = self.trained, self.options
        return quantized(
            self.base,
            options["quantize"],
            place,
            self.data,
            max_drop=options["max_drop"],
            force=options["force"],
            validation=net.validation,
        )

    def mar(self, base: Bundle, place: Path) -> Bundle:
        """Wrap an ONNX bundle."""
        from burnish.deploy.making import make_archive

        return _told("mar", lambda: make_archive(base, place))


def _export(exporter: Exporter) -> tuple[list[Bundle], bool]:
    """All bundles that were asked for, and whether one of several could not be made."""
    asked, quantized = exporter.options["format"], exporter.options["quantize"] != "none"
    if asked != "all":
        return [_single(exporter, asked, quantized)], False
    wanted = [(format, False) for format in FILES]
    if quantized:
        wanted.insert(1, ("onnx", True))
    if find_spec("executorch") is None:
        wanted.remove(("executorch", False))
        say("note: executorch is left out: pip install 'burnish[executorch]'")
    bundles = []
    for format, as_int8 in wanted:
        try:
            bundles.append(_single(exporter, format, as_int8))
        except BundleError as error:  # a net that one format cannot hold may suit the others
            if as_int8 and not isinstance(error, Differs):
                raise  # the method does not suit the net
            name = f"{format}-int8" if as_int8 else format
            print(f"error: {name}: {printable(str(error))}; left out", file=sys.stderr)
    return bundles, len(bundles) < len(wanted)


def _single(exporter: Exporter, format: str, quantized: bool) -> Bundle:
    place = exporter.place(f"{format}-int8" if quantized else format)
    if format == "mar":
        if not quantized:
            return exporter.mar(exporter.base, place)
        elsewhere = exporter.options["output"] is not None
        int8 = exporter.scratch / "onnx-int8" if elsewhere else exporter.kept("onnx-int8")
        return exporter.mar(exporter.int8(int8), place)
    if quantized:
        return exporter.int8(place)
    return exporter.one(format, place)


def _told(name: str, make: Callable[[], Bundle]) -> Bundle:
    """Say what was made, how large it is, how long it took and how well it agrees."""
    say(f"{name}: exporting ...")
    started = time.monotonic()
    bundle = make()
    seconds = time.monotonic() - started
    figures = bundle.card.get("verification", {}).get("batches", {})
    say(
        f"{name}: {short(bundle.path)}  {bundle.card['bytes'] / 1e6:.1f} MB, {seconds:.0f} s, "
        f"{_largest(figures)}"
    )
    if bundle.format in NOTES:
        say(f"note: {NOTES[bundle.format]}")
    return bundle


def _largest(figures: Mapping[str, Mapping[str, float]]) -> str:
    absolute = max(figure["absolute"] for figure in figures.values())
    relative = max(figure["relative"] for figure in figures.values())
    sizes = ", ".join(figures)
    return f"differs by {absolute:.1e} ({relative:.1e} of the largest logit) at batch {sizes}"


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what no run could be exported with."""
    format, method = options["format"], options["quantize"]
    problems = []
    if format not in (*FILES, "all"):
        problems.append(f"format: must be one of {', '.join(FILES)}, all; found {format!r}")
    if method not in METHODS:
        problems.append(f"quantize: must be one of {', '.join(METHODS)}; found {method!r}")
    elif method != "none" and format in ("torchscript", "torch_export", "executorch"):
        problems.append(f"quantize: is for format=onnx, mar and all, found format={format}")
    if not 0 <= options["max_drop"] <= 1:
        problems.append(f"max_drop: must lie in [0, 1], found {options['max_drop']}")
    if problems:
        raise ConfigError(problems)
    if is_bundle(Path(options["run"]).expanduser()):
        raise BundleError(f"run: {options['run']} is a bundle already; give the run it is of")


def _benchmark(exporter: Exporter, bundles: list[Bundle]) -> None:
    """The table of formats.

    Raises:
        DataError: if there is no data to measure on.
    """
    from burnish.commands.measuring import benchmark

    if exporter.data is None:
        raise DataError("benchmark: needs the run's data; say where it is with data.root=...")
    benchmark(bundles, lambda: exporter.opened.net()[0], exporter.data)
