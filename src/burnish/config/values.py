"""Whether a plain value of a configuration fits an annotation, judged from its source text.

The answer is yes, no, or None for "cannot be told": an annotation with a part that is not
understood is never held against a value.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from burnish.config.signatures import Parameter, expand_alias

_LISTS = {"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection"}
_TUPLES = {"tuple", "Tuple"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
# What is said of a type in messages; a Tensor cannot be written in YAML, so it is not offered.
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "Path": "a path",
    "PathLike": "a path",
    "None": "null",
    "Tensor": "",
    **dict.fromkeys(_LISTS | _TUPLES, "a list"),
    **dict.fromkeys(_MAPPINGS, "a mapping"),
}
_ALIAS_DEPTH = 8


def misfit(value: Any, parameter: Parameter) -> str | None:
    """Why a value does not fit a parameter.

    Args:
        value: plain (None, bool, int, float, str, list, dict); a mapping with ``_target_`` stands
            for an object that is not known yet, and ``???`` for a value not given yet.
        parameter: with its annotation as source text.

    Returns:
        The rest of a sentence that begins with the key, or None if the value fits or nothing can
        be said.
    """
    node = _parse(parameter.annotation)
    null_by_default = value is None and parameter.default == "None"
    if node is None or null_by_default or fits(value, node, parameter.scope) is not False:
        return None
    choices = list(dict.fromkeys(_words(node, parameter.scope)))
    if "a number" in choices and "a whole number" in choices:
        choices.remove("a whole number")
    texts = [ast.literal_eval(choice) for choice in choices if choice[0] in "'\""]
    near = get_close_matches(str(value), texts, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else _number_hint(value, choices)
    return f"must be {_enumerate(choices)}, found {_show(value)}{hint}"


def fits(value: Any, annotation: ast.expr, scope: str, depth: int = 0) -> bool | None:
    """Whether a plain value is of the annotated type; None if that cannot be told.

    Args:
        value: a plain value.
        annotation: syntax of the annotation.
        scope: dotted name of the module in which it is written, for type aliases.
        depth: how many aliases were followed already.
    """
    if depth > _ALIAS_DEPTH or value == "???" or _is_node(value):
        return None
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(text)):
            inner = _parse(text)
            return fits(value, inner, scope, depth + 1) if inner else None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _any(fits(value, side, scope, depth) for side in (left, right))
        case ast.Subscript(value=base, slice=inner):
            return _fits_generic(value, _last(base), _elements(inner), scope, depth)
        case ast.Name() | ast.Attribute() if _last(annotation) in ("Any", "object"):
            return True
        case ast.Name() | ast.Attribute() if _last(annotation) in _WORDS:
            return _fits_simple(value, _last(annotation))
        case ast.Name() | ast.Attribute():
            alias = expand_alias(annotation, scope)
            return fits(value, *alias, depth + 1) if alias else None
    return None


def _fits_simple(value: Any, name: str) -> bool:
    match name:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str" | "Path" | "PathLike":
            return isinstance(value, str)
        case "None":
            return value is None
    is_list = isinstance(value, list | tuple) and name in _LISTS | _TUPLES
    return is_list or (isinstance(value, Mapping) and name in _MAPPINGS)


def _fits_generic(
    value: Any, name: str, inner: list[ast.expr], scope: str, depth: int
) -> bool | None:
    if name in ("Optional", "Union"):
        options = [fits(value, option, scope, depth) for option in inner]
        return _any([*options, name == "Optional" and value is None])
    if name == "Literal":
        return any(_is_literal(value, option) for option in inner)
    if name in _TUPLES | _LISTS and _fits_simple(value, name):
        kinds = inner if name in _TUPLES and not _is_endless(inner) else inner[:1] * len(value)
        pairs = zip(value, kinds, strict=False)
        return len(kinds) == len(value) and _all(fits(v, k, scope, depth) for v, k in pairs)
    return _fits_simple(value, name) if name in _WORDS else None


def _is_literal(value: Any, option: ast.expr) -> bool:
    # Compared with the type: 1 == True in Python, but not to a person who chose one of the two.
    return isinstance(option, ast.Constant) and (type(value), value) == (
        type(option.value),
        option.value,
    )


def _is_endless(inner: list[ast.expr]) -> bool:
    return isinstance(inner[-1], ast.Constant) and inner[-1].value is ...


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return True if True in known else None if None in known else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return False if False in known else None if None in known else True


def _parse(text: str | None) -> ast.expr | None:
    try:
        return None if text is None else ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def _last(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _elements(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


# --- words ------------------------------------------------------------------------------------


def _words(annotation: ast.expr, scope: str) -> list[str]:
    """The alternatives of an annotation that :func:`fits` understands, each in words."""
    match annotation:
        case ast.Constant(value=None):
            return ["null"]
        case ast.Constant(value=str(text)):
            inner = _parse(text)
            return _words(inner, scope) if inner else []
        case ast.BinOp(left=left, right=right):
            return _words(left, scope) + _words(right, scope)
        case ast.Subscript(value=base, slice=inner):
            return _words_of_generic(_last(base), _elements(inner), scope)
    name = _last(annotation)
    if name in _WORDS:
        return [_WORDS[name]] if _WORDS[name] else []
    alias = expand_alias(annotation, scope)
    return _words(*alias) if alias else [ast.unparse(annotation)]


def _words_of_generic(name: str, inner: list[ast.expr], scope: str) -> list[str]:
    if name == "Literal":
        return [ast.unparse(option) for option in inner]
    if name in ("Optional", "Union"):
        words = [word for option in inner for word in _words(option, scope)]
        return words + ["null"] * (name == "Optional")
    if name in _TUPLES | _LISTS:
        endless = name in _LISTS or _is_endless(inner)
        items = [" or ".join(_words(item, scope)) for item in (inner[:1] if endless else inner)]
        return [f"a list [{', '.join(items)}{', ...' * endless}]"]
    return [_WORDS.get(name, name)]


def _enumerate(words: list[str]) -> str:
    *rest, last = words or ["something that YAML cannot say"]
    return f"{', '.join(rest)} or {last}" if rest else last


def _show(value: Any) -> str:
    kinds = {bool: str(value).lower(), type(None): "null", str: f"the text {value!r}"}
    return kinds.get(type(value), repr(value))


def _number_hint(value: Any, choices: list[str]) -> str:
    """For ``'1e-3'``: text that was meant as a number."""
    if not isinstance(value, str) or not {"a number", "a whole number"} & set(choices):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    mantissa, e, exponent = value.lower().partition("e")
    dotted = f"{mantissa}.0e{exponent}" if e and "." not in mantissa else value
    ways = " or ".join(dict.fromkeys([dotted, repr(number)])) if e else value
    return f"; write {ways}, without quotes"
