"""What a configuration may name by ``_target_``: the execution whitelist, slot by slot.

A configuration may come from somebody else (a run folder that was sent by mail), so each slot of it
admits only what belongs there, and there only public classes, besides burnish's own nets and
schedules: other functions may delete, write or fetch whatever their arguments say. A nested
``_target_`` is held against the list of the slot that it stands in. Widening a list widens what a
stranger can have executed: admit nothing whose constructor reads code, fetches or writes.

Hydra checks the objects that the names resolve to against the same patterns when they are made.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence

from burnish.config.bindings import Module
from burnish.config.source import Definition, TargetNotFound, locate, resolve
from burnish.errors import ConfigError

# Exact names, and subtrees that end with ".*": Hydra's pattern syntax.
ADMITTED: dict[str, tuple[str, ...]] = {
    "data": ("burnish.data.*",),
    "augment": ("burnish.data.*",),
    "model": ("burnish.models.*",),
    "loss": ("torch.nn.*", "burnish.nn.*"),
    "optimizer": ("torch.optim.*", "burnish.nn.*"),
    "scheduler": ("torch.optim.*", "burnish.nn.*"),
    "trainer": (
        "lightning.pytorch.Trainer",
        "lightning.pytorch.profilers.*",
        "lightning.pytorch.strategies.*",
        "lightning.pytorch.plugins.*",
    ),
    "callbacks": (
        "lightning.pytorch.callbacks.*",
        "burnish.learner.*",
        "burnish.report.board.Board",
    ),
    "logger": ("lightning.pytorch.loggers.*", "burnish.learner.*"),
}


# Where functions of our own are nets and schedules; elsewhere they read, write or fetch.
OF_FUNCTIONS = ("burnish.models.", "burnish.nn.")


def whitelist(slot: str, trusted: Sequence[str] = ()) -> tuple[str, ...]:
    """The patterns that ``hydra.utils.instantiate`` takes as ``_execution_whitelist_``.

    Args:
        slot: a top-level key of the configuration, ``optimizer`` say.
        trusted: packages or modules that the user named on the command line; everything in them
            may be named too.

    Raises:
        ConfigError: if an entry of ``trusted`` is not a dotted name.
    """
    wrong = [
        f"trust: {name!r} is not the name of a package; write for example trust=[mypackage]"
        for name in trusted
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split("."))
    ]
    if wrong:
        raise ConfigError(wrong)
    return (*ADMITTED.get(slot, ()), *_trusted(trusted))


def is_admitted(target: str, slot: str, trusted: Sequence[str] = ()) -> bool:
    """Whether a slot of the configuration may name this target.

    The name must match the slot's list, and so must the place where it is defined:
    ``burnish.data.images.os.system`` is ``os.system``. There must stand a public class, or one of
    burnish's own functions. A name that does not exist is judged by its text;
    :func:`burnish.config.signatures.find_signature` reports it.

    Args:
        target: for example ``torch.optim.AdamW``.
        slot: a top-level key of the configuration.
        trusted: packages that the user named on the command line.

    Raises:
        ConfigError: if an entry of ``trusted`` is not a dotted name.
    """
    patterns = whitelist(slot, trusted)
    if _matches(target, _trusted(trusted)):
        # Nothing that a training needs is named __so__, but function.__globals__ is everything.
        return not any(part.startswith("__") for part in target.split("."))
    if any(part.startswith("_") for part in target.split(".")) or not _matches(target, patterns):
        return False
    try:
        found = resolve(target)
    except TargetNotFound:
        return True
    if not isinstance(found, Definition) or "." in found.qualname:
        return False
    ours = found.name.startswith(OF_FUNCTIONS)
    is_class = isinstance(found.node, ast.ClassDef)
    # Lightning's public name of the Trainer is one exact name, defined elsewhere.
    return (is_class or ours) and (target in patterns or _matches(found.name, patterns))


def admitted_as_text(slot: str) -> str:
    """What a slot may name, for messages."""
    names = [
        f"classes of {pattern[:-2]}" if pattern.endswith(".*") else pattern
        for pattern in ADMITTED.get(slot, ())
    ]
    return ", ".join(names) or "nothing"


# What pip fills; Debian's Python has a name of its own.
OF_LIBRARIES = ("site-packages", "dist-packages")


def may_be_yours(package: str) -> bool:
    """Whether a user may have written this top-level package, so that trust can be offered.

    Nobody shall be talked into trusting ``os`` for a run folder that was sent to them.
    """
    if package in sys.stdlib_module_names or package == "burnish":
        return False
    found = locate(package)
    if not isinstance(found, Module):
        return found is None  # it may lie where the command will be run; compiled ones do not
    places = [found.file] if found.file else found.folders
    return not any(name in place.parts for place in places for name in OF_LIBRARIES)


def _trusted(packages: Sequence[str]) -> tuple[str, ...]:
    return tuple(pattern for name in packages for pattern in (name, f"{name}.*"))


def _matches(target: str, patterns: Sequence[str]) -> bool:
    return any(
        target.startswith(pattern[:-1]) if pattern.endswith(".*") else target == pattern
        for pattern in patterns
    )
