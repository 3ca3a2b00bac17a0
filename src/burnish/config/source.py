"""Names of Python modules and what they stand for, read from source and never by importing.

``import torch`` costs seconds, its syntax trees a few milliseconds each. A dotted name is followed
through folders, imports, star imports, assignments and class bodies until a definition is met, or
the place is reached from which the syntax tells no more.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from burnish.config.bindings import Binding, Imported, Module, collect, names_of
from burnish.errors import ConfigError


class TargetNotFound(ConfigError):  # noqa: N818
    """A dotted name of which some part certainly does not exist."""


@dataclass(frozen=True)
class Definition:
    """A class or function, with the module that defines it."""

    module: Module
    qualname: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def name(self) -> str:
        """Dotted name of the place of definition, as ``__module__`` and ``__qualname__`` say it."""
        return f"{self.module.name}.{self.qualname}"


@dataclass(frozen=True)
class Value:
    """Something that the syntax does not tell more about, under the last name that is known.

    Args:
        name: dotted name.
        module: the module that assigns it, if it is an assignment.
        node: the expression assigned.
    """

    name: str
    module: Module | None = None
    node: ast.expr | None = None


Found = Module | Definition | Value
# Names on the way to the one looked up: modules that import from each other would go in circles.
_Seen = frozenset[tuple[str, str]]


def resolve(target: str) -> Found:
    """What a dotted name stands for.

    Args:
        target: for example ``torch.optim.AdamW``.

    Returns:
        The module, the definition, or a :class:`Value` if it exists or may exist but its nature
        cannot be told.

    Raises:
        TargetNotFound: if a part does not exist, with the nearest name that does.
    """
    first, *rest = target.split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        raise TargetNotFound(f"{target!r} is not a dotted name")
    found: Found | None = locate(first)
    if found is None:
        raise TargetNotFound(f"there is no module {first!r}")
    for position, part in enumerate(rest, start=1):
        # On the way a folder stands for its package, whose (large) __init__ need not be read.
        inner = locate(f"{found.name}.{part}") if isinstance(found, Module) else None
        found = inner if inner and position < len(rest) else _member(found, part)
    return found


@cache
def locate(name: str) -> Module | Value | None:
    """The module of this dotted name: a :class:`Value` if compiled, None if there is none."""
    parent, _, leaf = name.rpartition(".")
    if not parent:
        # Only a top-level name: for a dotted one find_spec would import the packages above it.
        try:
            return _from_spec(name, find_spec(name))
        except (ValueError, ImportError):
            return None
    package = locate(parent)
    if isinstance(package, Value):
        return Value(name)
    inner = [_in_folder(folder, name, leaf) for folder in package.folders] if package else []
    return next((found for found in inner if found), None)


def _from_spec(name: str, spec: ModuleSpec | None) -> Module | Value | None:
    if spec is None:
        return None
    folders = tuple(Path(folder) for folder in spec.submodule_search_locations or ())
    if spec.origin and spec.origin.endswith(".py"):
        return Module(name, Path(spec.origin), folders)
    return Module(name, None, folders) if folders else Value(name)


def _in_folder(folder: Path, name: str, leaf: str) -> Module | Value | None:
    inner = folder / leaf
    if (init := inner / "__init__.py").is_file():
        return Module(name, init, (inner,))
    if any((folder / f"{leaf}{suffix}").is_file() for suffix in EXTENSION_SUFFIXES):
        return Value(name)
    if (file := folder / f"{leaf}.py").is_file():
        return Module(name, file)
    return Module(name, None, (inner,)) if inner.is_dir() else None


def _member(owner: Found, name: str) -> Found:
    if isinstance(owner, Module):
        found = lookup(owner, name)
        known = names_in(owner)
    elif isinstance(owner, Definition) and isinstance(owner.node, ast.ClassDef):
        found, known = _class_member(owner, name)
    else:
        return Value(f"{owner.name}.{name}")
    if found is not None:
        return found
    if known is None:
        return Value(f"{owner.name}.{name}")
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise TargetNotFound(f"{owner.name} has no {name!r}{hint}")


def lookup(module: Module, name: str, seen: _Seen = frozenset()) -> Found | None:
    """What a name at the top level of a module stands for; None if the module has no such name."""
    if (module.name, name) in seen:
        return None
    seen |= {(module.name, name)}
    names = names_of(module)
    if name in names.bound:
        return _follow(module, name, names.bound[name], seen)
    for star in reversed(names.stars):
        source = locate(star)
        if isinstance(source, Module) and source != module and _exports(source, name):
            found = lookup(source, name, seen)
            if found is not None:
                return found
    return locate(f"{module.name}.{name}")


def _follow(module: Module, name: str, binding: Binding, seen: _Seen) -> Found | None:
    match binding:
        case Imported(source_name, None):
            return locate(source_name) or Value(source_name)
        case Imported(source_name, str(attribute)):
            source = locate(source_name)
            full = f"{source_name}.{attribute}"
            if not isinstance(source, Module):
                return Value(full)
            # A package that imports its own submodule binds it under that very name.
            inner = lookup(source, attribute, seen) if source != module else None
            return inner or locate(full) or Value(full)
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return Definition(module, name, binding)
        case ast.Name() | ast.Attribute():
            found = resolve_expression(module, binding, seen)
            return found or Value(f"{module.name}.{name}", module, binding)
        case ast.expr():
            return Value(f"{module.name}.{name}", module, binding)
    return Value(f"{module.name}.{name}")


def resolve_expression(module: Module, node: ast.expr, seen: _Seen = frozenset()) -> Found | None:
    """What ``a`` or ``a.b.c`` means at the top level of a module; None if it cannot be told."""
    if isinstance(node, ast.Name):
        return lookup(module, node.id, seen)
    if isinstance(node, ast.Attribute):
        owner = resolve_expression(module, node.value, seen)
        try:
            return owner and _member(owner, node.attr)
        except TargetNotFound:
            return None
    return None


def names_in(module: Module) -> list[str] | None:
    """The public names that a module binds; None if it may bind more than its syntax shows."""
    names = names_of(module)
    found = [name for name in names.bound if not name.startswith("_")]
    if names.open:
        return None
    for star in names.stars:
        source = locate(star)
        inner = names_in(source) if isinstance(source, Module) and source != module else None
        if inner is None and source != module:
            return None
        found += [name for name in inner or () if _exports(source, name)]
    for folder in module.folders:
        found += [entry.stem for entry in folder.iterdir() if not entry.name.startswith(("_", "."))]
    return found


def _exports(module: Found | None, name: str) -> bool:
    if not isinstance(module, Module):
        return False
    binding = names_of(module).bound.get("__all__")
    if isinstance(binding, ast.List | ast.Tuple):
        texts = [element.value for element in binding.elts if isinstance(element, ast.Constant)]
        if len(texts) == len(binding.elts):
            return name in texts
    return not name.startswith("_")


# --- classes ----------------------------------------------------------------------------------


def ancestors(owner: Definition) -> Iterator[Definition | Value]:
    """A class, then its bases about in the order in which Python searches them.

    Depth first, each base after the last class that names it. The bases are only read when the
    caller asks for more than the class itself. A base that cannot be told comes as a value.
    """
    yield owner
    later: dict[str, Definition | Value] = {}
    for base in _bases(owner):
        for ancestor in ancestors(base) if isinstance(base, Definition) else (base,):
            later.pop(ancestor.name, None)
            later[ancestor.name] = ancestor
    yield from later.values()


# Bases that bring no constructor.
_PLAIN_BASES = {"object", "Generic", "ABC", "Protocol"}


def _bases(owner: Definition) -> Iterator[Definition | Value]:
    assert isinstance(owner.node, ast.ClassDef)
    for node in owner.node.bases:
        base = node.value if isinstance(node, ast.Subscript) else node
        text = ast.unparse(base)
        if text.rpartition(".")[2] in _PLAIN_BASES:
            continue
        found = resolve_expression(owner.module, base)
        is_class = isinstance(found, Definition) and isinstance(found.node, ast.ClassDef)
        yield found if isinstance(found, Definition) and is_class else Value(text)


def class_body(owner: Definition) -> dict[str, Binding]:
    """What the body of a class binds."""
    return collect(owner.node.body, owner.module).bound


def _class_member(owner: Definition, name: str) -> tuple[Found | None, list[str] | None]:
    known: list[str] | None = []
    for ancestor in ancestors(owner):
        if isinstance(ancestor, Value):
            known = None
            continue
        body = class_body(ancestor)
        if name in body:
            node = body[name]
            qualname = f"{ancestor.qualname}.{name}"
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                return Definition(ancestor.module, qualname, node), known
            return Value(f"{ancestor.module.name}.{qualname}"), known
        if known is not None:
            known += body
    return None, known
