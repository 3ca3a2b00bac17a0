"""The run folder: what a run leaves on disk, written so that a kill leaves it readable.

config.yaml       the resolved configuration          overrides.yaml   what was typed
spec.json         what the model knows of its data    split.json       indices of validation
provenance.json   code, versions, hardware, data      result.json      status and metrics
experiment.md     the story of the run, and a place for the next step
checkpoints/{best,last}.ckpt   tensorboard/   metrics.csv   train.log
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish.errors import RunError

BEFORE_TRAINING = (
    "config.yaml", "overrides.yaml", "result.json", "spec.json", "split.json", "provenance.json",
    "train.log",
)  # fmt: skip
# Where a training keeps the batch of a step that was not finite.
NONFINITE = "nonfinite.pt"
STATUSES = ("running", "finished", "failed", "interrupted", "pruned")


class PlainLoader(yaml.SafeLoader):
    """Without aliases: a few lines of them unfold to gigabytes, or never end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Like PyYAML's, but an alias is an error."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.YAMLError(f"alias *{event.anchor} in line {event.start_mark.line + 1}")
        return super().compose_node(parent, index)


class _PlainDumper(yaml.SafeDumper):
    """Writes what the loader reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a temporary name beside ``path``, then rename: readers see old or new, whole.

    What a link of that name points to stays as it is.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = str(path)  # not the temporary name; writing alone names none
        raise


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where best.ckpt and last.ckpt lie."""
        return self.path / "checkpoints"

    def write_json(self, name: str, values: Mapping[str, Any]) -> None:
        """Write ``<name>.json`` atomically."""
        text = json.dumps(values, indent=2, ensure_ascii=False, default=str)
        write_atomically(self.path / f"{name}.json", text + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read ``<name>.json``.

        Raises:
            RunError: if it is missing or not JSON.
        """
        path = self.path / f"{name}.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror}); is this a run?") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}: is not JSON ({error})") from error
        if not isinstance(values, dict):
            raise RunError(f"{path}: holds {type(values).__name__}, expected a mapping")
        return values

    def write_yaml(self, name: str, values: Any) -> None:
        """Write ``<name>.yaml`` atomically."""
        text = yaml.dump(values, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)
        write_atomically(self.path / f"{name}.yaml", text)

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run, as plain containers.

        Raises:
            RunError: if it is missing, not YAML, or holds an unresolved interpolation: a run's
                config is resolved when it is written, so one that is not was edited, and would
                let a stranger's folder read this machine's environment.
        """
        path = self.path / "config.yaml"
        try:
            config = yaml.load(path.read_text(encoding="utf-8"), PlainLoader)
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror}); is this a run?") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{path}: is not plain YAML ({reason})") from error
        if not isinstance(config, dict):
            raise RunError(f"{path}: holds {type(config).__name__}, expected a mapping")
        if unresolved := _first_interpolation(config):
            raise RunError(
                f"{path}: {unresolved} is an interpolation; a run's config holds values only"
            )
        return config

    def update_result(self, **values: Any) -> None:
        """Merge values into ``result.json``; ``metrics`` are merged by name."""
        path = self.path / "result.json"
        result = self.read_json("result") if path.exists() else {}
        metrics = {**result.get("metrics", {}), **values.pop("metrics", {})}
        self.write_json("result", {**result, **values, "metrics": metrics})

    @property
    def began(self) -> bool:
        """Whether its training ever began."""
        return "began" in self.read_json("result")

    def forget(self) -> None:
        """Remove what a run writes before its training begins, if the folder holds nothing else."""
        present = {entry.name for entry in self.path.iterdir()}
        if present <= {*BEFORE_TRAINING}:
            for name in present:
                (self.path / name).unlink()

    def checkpoint(self, which: str) -> Path:
        """Path of ``best`` or ``last``.

        Raises:
            RunError: if there is no such checkpoint.
        """
        path = self.checkpoints / f"{which}.ckpt"
        if not path.is_file():
            found = sorted(p.name for p in self.checkpoints.glob("*.ckpt"))
            raise RunError(
                f"{path}: does not exist; this run has {', '.join(found) or 'no checkpoint'}"
            )
        return path


def find_run(location: str, key: str = "run") -> tuple[RunFolder, Path | None]:
    """Resolve what a user typed: a run folder, or a checkpoint in one.

    Args:
        location: the path as typed.
        key: the key it was typed for, named in errors.

    Returns:
        The folder, and the checkpoint if one was named.

    Raises:
        RunError: if nothing is there, or what is there is not a run.
    """
    path = Path(location).expanduser()
    if not path.exists():
        raise RunError(f"{key}: {location} does not exist{_nearest(path)}")
    if path.is_dir():
        if path.name == "checkpoints" and not (path / "config.yaml").exists():
            path = path.parent
        if not (path / "config.yaml").is_file():
            raise RunError(f"{key}: {location} is no run folder: it holds no config.yaml")
        refuse_links(path)
        return RunFolder(path), None
    if path.suffix != ".ckpt":
        raise RunError(f"{key}: {location} is neither a run folder nor a checkpoint (*.ckpt)")
    folder = path.parent.parent
    if not (folder / "config.yaml").is_file():
        raise RunError(
            f"{key}: {location} lies in no run folder: {folder / 'config.yaml'} is missing"
        )
    refuse_links(folder)
    return RunFolder(folder), path


def refuse_links(folder: Path) -> None:
    """What is written into a stranger's run folder must not end up where its links lead.

    Raises:
        RunError: naming the first link in it.
    """
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink():
                raise RunError(f"{path}: is a link; a run folder holds its own files")


def _nearest(path: Path) -> str:
    """Say how far the path does exist."""
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    names = sorted(entry.name for entry in parent.iterdir())[-3:] if parent.is_dir() else []
    return f"; {parent} holds {', '.join(names)}" if names else f"; {parent} is empty"


def _first_interpolation(node: Any, key: str = "") -> str | None:
    if isinstance(node, str) and "${" in node:
        return f"{key}: {node}"
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for name, value in items:
        if found := _first_interpolation(value, f"{key}.{name}" if key else str(name)):
            return found
    return None
