"""The arguments that a configuration gives to a target, held against its signature."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from burnish.config.signatures import Parameter, Signature
from burnish.config.values import misfit

RESERVED = frozenset(
    {"_target_", "_partial_", "_convert_", "_recursive_", "_args_", "_execution_whitelist_"}
)
# With more arguments than this, a list of them helps nobody.
_MAX_LISTED = 12


def check_arguments(
    path: str,
    node: Mapping[str, Any],
    signature: Signature,
    *,
    supplied: Collection[str] = (),
    ignored: Collection[str] = (),
) -> list[str]:
    """What is wrong with the arguments of one ``_target_``.

    A node with ``_partial_: true`` is called later with one positional argument (the spec, the
    parameters, the optimizer): the first positional parameter that neither the node nor
    ``_args_`` fills is taken as given. What else the caller passes belongs in ``supplied``.

    Args:
        path: key of the node, such as ``optimizer``; empty for the root.
        node: plain containers, interpolations resolved. Nested nodes with a ``_target_`` of their
            own are taken to fit.
        signature: of the node's target.
        supplied: names of arguments that the framework passes itself.
        ignored: keys of the node that are no arguments and are not looked at.

    Returns:
        One line a problem, each beginning with the full key; empty if there is none.
    """
    target = str(node.get("_target_", path))
    given = {key: value for key, value in node.items() if key not in RESERVED | set(ignored)}
    positional = node.get("_args_") or []
    named, filled = _split(signature, len(positional))
    prefix = f"{path}." if path else ""
    problems = _check_positional(prefix, positional, filled, signature, target)
    for key, value in given.items():
        if problem := _problem(key, value, named, filled, signature, target):
            problems.append(f"{prefix}{key}: {problem}")
    open_now = [p for p in named.values() if not p.has_default and p.name not in given]
    if node.get("_partial_"):
        open_now = _without_first_positional(open_now, signature, given, filled)
    missing = [p.name for p in open_now if p.name not in supplied]
    return problems + [f"{prefix}{name}: is missing; {target} requires it" for name in missing]


def _split(signature: Signature, count: int) -> tuple[dict[str, Parameter], list[Parameter]]:
    """Parameters that can still be given by name, and those that ``_args_`` fills."""
    positional = [p for p in signature.parameters if p.kind.startswith("POSITIONAL")]
    filled = positional[:count]
    named = {p.name: p for p in signature.parameters if p not in filled}
    return named, filled


def _without_first_positional(
    open_now: list[Parameter],
    signature: Signature,
    given: Mapping[str, Any],
    filled: Sequence[Parameter],
) -> list[Parameter]:
    taken = {p.name for p in filled} | set(given)
    free = [p for p in signature.parameters if p.kind.startswith("POSITIONAL")]
    first = next((p for p in free if p.name not in taken), None)
    return [p for p in open_now if p != first]


def _check_positional(
    prefix: str,
    values: Sequence[Any],
    filled: Sequence[Parameter],
    signature: Signature,
    target: str,
) -> list[str]:
    problems = []
    takes_more = any(p.kind == "VAR_POSITIONAL" for p in signature.parameters)
    if len(values) > len(filled) and not takes_more:
        problems.append(
            f"{prefix}_args_: {target} takes {len(filled)} positional arguments, "
            f"found {len(values)}"
        )
    for index, (value, parameter) in enumerate(zip(values, filled, strict=False)):
        if text := misfit(value, parameter):
            problems.append(f"{prefix}_args_[{index}]: {parameter.name} {text}")
    return problems


def _problem(
    key: str,
    value: Any,
    named: Mapping[str, Parameter],
    filled: Sequence[Parameter],
    signature: Signature,
    target: str,
) -> str | None:
    """What is wrong with one argument given by name."""
    if any(parameter.name == key for parameter in filled):
        return f"is given twice, by name and in _args_, to {target}"
    parameter = named.get(key)
    if parameter and parameter.kind in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"):
        return misfit(value, parameter)
    if signature.accepts_any_keyword:
        return None
    names = list(_keywords(signature))
    near = get_close_matches(key, names, n=1)
    if near:
        return f"{target} takes no argument {key!r}; did you mean {near[0]!r}?"
    listed = f"; it takes {', '.join(names)}" if 0 < len(names) <= _MAX_LISTED else ""
    return f"{target} takes no argument {key!r}{listed or ('' if names else ', nor any other')}"


def _keywords(signature: Signature) -> Iterator[str]:
    kinds = ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")
    return (p.name for p in signature.parameters if p.kind in kinds)
