"""What the statements of a module or class body bind, read from the syntax tree.

One of the two halves of reading names without importing: this one knows statements, and
:mod:`burnish.config.source` follows the names from module to module.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """A module or package written in Python.

    Args:
        name: dotted name.
        file: its source; None for a namespace package.
        folders: where its submodules lie; empty for a plain module.
    """

    name: str
    file: Path | None
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Imported:
    """``from module import name``, or the module itself if ``name`` is None."""

    module: str
    name: str | None


# What a name is bound to: an import, a definition, an expression, or None for what cannot be told.
Binding = Imported | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr | None


@dataclass
class Names:
    """What a module or class body binds; ``open`` if it may bind more when it runs."""

    bound: dict[str, Binding] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    open: bool = False

    def add_weakly(self, other: Names) -> None:
        """Take in the names of an alternative branch that are not bound already."""
        self.bound = {**other.bound, **self.bound}
        self.stars += other.stars
        self.open |= other.open


@cache
def names_of(module: Module) -> Names:
    """What a module binds at its top level."""
    if module.file is None:
        return Names()
    tree = _parse(module.file)
    names = Names(open=True) if tree is None else collect(tree.body, module)
    # Ours gives what it names in __all__, of which nothing is a target.
    names.open |= "__getattr__" in names.bound and module.file.resolve() != OURS
    return names


OURS = Path(__file__).resolve().parents[1] / "__init__.py"


@cache
def _parse(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return None


def collect(statements: Sequence[ast.stmt], module: Module) -> Names:
    """What a body binds; ``module`` is where it stands, for relative imports."""
    names = Names()
    for node in statements:
        match node:
            case ast.Import():
                _bind_import(names, node)
            case ast.ImportFrom():
                _bind_import_from(names, node, module)
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if not is_decorated(node, "overload"):
                    names.bound[node.name] = node
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                _bind_assignment(names, node)
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                _bind_block(names, node, module)
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.open |= _binds_dynamically(node)
    return names


def _bind_import(names: Names, node: ast.Import) -> None:
    for alias in node.names:
        top = alias.name.partition(".")[0]
        names.bound[alias.asname or top] = Imported(alias.name if alias.asname else top, None)


def _bind_import_from(names: Names, node: ast.ImportFrom, module: Module) -> None:
    source = _absolute(module, node.level, node.module)
    for alias in node.names:
        if alias.name == "*":
            names.stars.append(source)
        else:
            names.bound[alias.asname or alias.name] = Imported(source, alias.name)


def _absolute(module: Module, level: int, name: str | None) -> str:
    if level == 0:
        return name or ""
    parts = module.name.split(".")
    above = parts[: len(parts) - level + bool(module.folders)]
    return ".".join([*above, *([name] if name else [])])


def _bind_assignment(names: Names, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Name):
            if isinstance(node, ast.AugAssign):
                names.bound[target.id] = None
            elif node.value is not None:
                names.bound[target.id] = node.value
        else:
            _bind_unknown(names, target)


def _bind_unknown(names: Names, target: ast.AST) -> None:
    for part in ast.walk(target):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            names.bound[part.id] = None


def _bind_block(
    names: Names, node: ast.If | ast.Try | ast.With | ast.For | ast.While, module: Module
) -> None:
    """Names of a compound statement: the branch taken as a rule wins over the others."""
    branches = [collect(node.body, module)]
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        branches.insert(0, collect(node.orelse, module))
    elif isinstance(node, ast.Try):
        branches[0].bound.update(collect([*node.orelse, *node.finalbody], module).bound)
        branches += [collect(handler.body, module) for handler in node.handlers]
    elif isinstance(node, ast.For):
        _bind_unknown(names, node.target)
    elif isinstance(node, ast.With):
        for item in node.items:
            _bind_unknown(names, item.optional_vars or ast.Pass())
    if isinstance(node, ast.If | ast.For | ast.While) and node.orelse:
        branches.append(collect(node.orelse, module))
    block = branches[0]
    for branch in branches[1:]:
        block.add_weakly(branch)
    names.bound.update(block.bound)
    names.stars += block.stars
    names.open |= block.open


# Calls by which a module gives itself names that no statement shows.
_DYNAMIC = {"globals", "vars", "exec", "setattr"}


def _binds_dynamically(node: ast.stmt) -> bool:
    if isinstance(node, ast.If | ast.Try | ast.With | ast.While | ast.For):
        # Bodies are looked at by themselves, the loop's own head binds nothing.
        return False
    return any(
        isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in _DYNAMIC
        for part in ast.walk(node)
    )


def is_decorated(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    """Whether a decorator of this name (whatever stands before the last dot) is applied."""
    return any(
        ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        .rpartition(".")[2] == name
        for decorator in node.decorator_list
    )  # fmt: skip
