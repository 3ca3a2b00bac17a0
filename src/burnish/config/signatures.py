"""Signatures of classes and functions by dotted name, read from source and never by importing.

What ``inspect.signature`` says of the imported object, plus what it does not say: the arguments
that ``**kwargs`` of a constructor passes on to its base classes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from burnish.config.bindings import is_decorated
from burnish.config.source import (
    Definition,
    Module,
    TargetNotFound,
    Value,
    ancestors,
    class_body,
    resolve,
    resolve_expression,
)

__all__ = ["Parameter", "Signature", "TargetNotFound", "expand_alias", "find_signature"]

Kind = Literal["POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL", "KEYWORD_ONLY"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef

# The default of an argument of which only the base class knows whether it is required.
_UNTOLD = "..."


@dataclass(frozen=True)
class Parameter:
    """One argument of a signature.

    Args:
        name: as written.
        kind: name of the kind in ``inspect.Parameter``.
        default: source text of the default; None if the argument is required.
        annotation: source text of the annotation, if there is one.
        scope: the module in which default and annotation are written.
    """

    name: str
    kind: Kind
    default: str | None = None
    annotation: str | None = None
    scope: str = ""

    @property
    def has_default(self) -> bool:
        """Whether the argument may be left out."""
        return self.default is not None or self.kind == "VAR_POSITIONAL"


@dataclass(frozen=True)
class Signature:
    """What a target takes.

    Args:
        parameters: without ``self`` and ``**kwargs``; those that ``**kwargs`` passes on to base
            classes follow as keyword-only ones that are never required.
        accepts_any_keyword: ``**kwargs`` leads to where its names cannot be told.
        where: path of the file with the definition.
    """

    parameters: tuple[Parameter, ...]
    accepts_any_keyword: bool
    where: str


@cache
def find_signature(target: str) -> Signature | None:
    """The signature behind a ``_target_``.

    Args:
        target: dotted name of a class, function or static or class method.

    Returns:
        The signature, or None if it cannot be told without importing (compiled code, names made
        at run time, metaclasses, values).

    Raises:
        TargetNotFound: if the name certainly does not exist, or is a module.
    """
    found = resolve(target)
    if isinstance(found, Module):
        raise TargetNotFound(f"{target} is a module, not a class or function in it")
    if isinstance(found, Value):
        return None
    if isinstance(found.node, ast.ClassDef):
        return _of_class(found)
    if is_decorated(found.node, "property"):
        return None
    bound = is_decorated(found.node, "classmethod")
    parameters = _parameters(found.node, found.module.name)[bound:]
    return Signature(parameters, found.node.args.kwarg is not None, str(found.module.file))


def expand_alias(annotation: ast.expr, scope: str) -> tuple[ast.expr, str] | None:
    """The type that a name in an annotation is another name for, and the module that says so.

    Args:
        annotation: a name or dotted name, such as Lightning's ``_PRECISION_INPUT``.
        scope: dotted name of the module in which it is used.

    Returns:
        The assigned expression with its module, or None if the name is no such assignment.
    """
    try:
        module = resolve(scope)
    except TargetNotFound:
        return None
    found = resolve_expression(module, annotation) if isinstance(module, Module) else None
    if isinstance(found, Value) and found.module and isinstance(found.node, _TYPE_EXPRESSIONS):
        return found.node, found.module.name
    return None


_TYPE_EXPRESSIONS = (ast.Subscript, ast.BinOp)


# --- functions --------------------------------------------------------------------------------


def _parameters(function: _Function, scope: str) -> tuple[Parameter, ...]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    no_default: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    rows: list[tuple[ast.arg, Kind, ast.expr | None]] = []
    for index, (arg, default) in enumerate(
        zip(positional, [*no_default, *arguments.defaults], strict=True)
    ):
        only = index < len(arguments.posonlyargs)
        rows.append((arg, "POSITIONAL_ONLY" if only else "POSITIONAL_OR_KEYWORD", default))
    if arguments.vararg:
        rows.append((arguments.vararg, "VAR_POSITIONAL", None))
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        rows.append((arg, "KEYWORD_ONLY", default))
    return tuple(
        Parameter(arg.arg, kind, _text(default), _text(arg.annotation), scope)
        for arg, kind, default in rows
    )


def _text(node: ast.expr | None) -> str | None:
    return None if node is None else ast.unparse(node)


# --- classes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Constructor:
    """What one class of the hierarchy says about its arguments.

    ``rest`` tells where ``**kwargs`` leads: to the next class, nowhere (closed), or unknown.
    """

    parameters: tuple[Parameter, ...]
    rest: Literal["next", "closed", "unknown"]


def _of_class(owner: Definition) -> Signature | None:
    parameters: tuple[Parameter, ...] = ()
    rest = "next"
    first = True
    for ancestor in ancestors(owner):
        if isinstance(ancestor, Value) or _has_metaclass(ancestor):
            if first:
                return None
            rest = "unknown"
            break
        constructor = _constructor(ancestor)
        if constructor is None:
            continue
        if isinstance(constructor, Value):
            return None
        parameters = _merge(parameters, constructor.parameters, first)
        rest, first = constructor.rest, False
        if rest != "next":
            break
    # Without any constructor nothing is taken. One that hands **kwargs on although no base has a
    # constructor is made to be mixed in with others: nothing can be said of its arguments.
    is_open = rest == "unknown" or (rest == "next" and not first)
    return Signature(parameters, is_open, str(owner.module.file))


def _has_metaclass(owner: Definition) -> bool:
    assert isinstance(owner.node, ast.ClassDef)
    return any(
        keyword.arg == "metaclass" and not ast.unparse(keyword.value).endswith("ABCMeta")
        for keyword in owner.node.keywords
    )


def _merge(
    known: tuple[Parameter, ...], more: tuple[Parameter, ...], first: bool
) -> tuple[Parameter, ...]:
    if first:
        return more
    names = {parameter.name for parameter in known}
    inherited = (
        replace(parameter, kind="KEYWORD_ONLY", default=parameter.default or _UNTOLD)
        for parameter in more
        if parameter.name not in names
        and parameter.kind in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")
    )
    return (*known, *inherited)


def _constructor(owner: Definition) -> _Constructor | Value | None:
    """The constructor that a class itself writes down; None if it inherits it."""
    body = class_body(owner)
    written = body.get("__init__", body.get("__new__"))
    if isinstance(written, ast.FunctionDef):
        parameters = _parameters(written, owner.module.name)[1:]
        if written.args.kwarg is None:
            return _Constructor(parameters, "closed")
        read = _read_by_name(written, written.args.kwarg.arg, owner.module.name)
        return _Constructor((*parameters, *read), _rest(written, written.args.kwarg.arg))
    if "__init__" in body or "__new__" in body:
        return Value(owner.name)
    if is_decorated(owner.node, "dataclass"):
        return _Constructor(tuple(_fields(owner)), "closed")
    return None


def _read_by_name(function: ast.FunctionDef, kwargs: str, scope: str) -> Iterator[Parameter]:
    """Arguments that a constructor takes out of ``**kwargs`` by ``pop`` or ``get``."""
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="pop" | "get"),
                args=[ast.Constant(value=str(key)), *_],
            ) if name == kwargs:
                yield Parameter(key, "KEYWORD_ONLY", _UNTOLD, None, scope)


def _rest(function: ast.FunctionDef, kwargs: str) -> Literal["next", "closed", "unknown"]:
    """Where ``**kwargs`` leads; refused if the constructor raises when something is left over."""
    to_base = False
    for node in ast.walk(function):
        match node:
            case ast.If(test=ast.Name(id=name), body=body) if name == kwargs:
                if any(isinstance(statement, ast.Raise) for statement in body):
                    return "closed"
            case ast.Call(func=ast.Attribute(attr="__init__"), keywords=keywords):
                to_base |= any(
                    k.arg is None and isinstance(k.value, ast.Name) and k.value.id == kwargs
                    for k in keywords
                )
    return "next" if to_base else "unknown"


def _fields(owner: Definition) -> Iterator[Parameter]:
    """Arguments of a dataclass: the bases' fields first, a field given again keeps its place."""
    fields: dict[str, Parameter] = {}
    for ancestor in reversed(list(ancestors(owner))):
        if isinstance(ancestor, Definition) and is_decorated(ancestor.node, "dataclass"):
            fields |= {parameter.name: parameter for parameter in _own_fields(ancestor)}
    keyword_only = [p for p in fields.values() if p.kind == "KEYWORD_ONLY"]
    yield from (p for p in fields.values() if p.kind != "KEYWORD_ONLY")
    yield from keyword_only


def _own_fields(owner: Definition) -> Iterator[Parameter]:
    keyword_only = any(
        isinstance(decorator, ast.Call) and _flag(decorator, "kw_only")
        for decorator in owner.node.decorator_list
    )
    for node in owner.node.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        annotation = ast.unparse(node.annotation)
        if annotation.rpartition(".")[2] == "KW_ONLY":
            keyword_only = True
            continue
        default, taken, only = _field_options(node.value)
        if not taken or annotation.rpartition(".")[2].startswith("ClassVar"):
            continue
        kind: Kind = "KEYWORD_ONLY" if keyword_only or only else "POSITIONAL_OR_KEYWORD"
        yield Parameter(node.target.id, kind, default, annotation, owner.module.name)


def _field_options(value: ast.expr | None) -> tuple[str | None, bool, bool]:
    """Default, whether the constructor takes the field, whether by keyword only."""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field")):
        return _text(value), True, False
    given = {keyword.arg: keyword.value for keyword in value.keywords}
    default = _text(given.get("default")) or (_UNTOLD if "default_factory" in given else None)
    taken = not ("init" in given and ast.unparse(given["init"]) == "False")
    return default, taken, _flag(value, "kw_only")


def _flag(call: ast.Call, name: str) -> bool:
    return any(k.arg == name and ast.unparse(k.value) == "True" for k in call.keywords)
