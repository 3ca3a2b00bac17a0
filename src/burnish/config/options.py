"""``key=value`` options of the verbs that compose no experiment: predict, export, serve.

Their file under ``conf/`` holds every key with its default and its meaning, and is their help.
A value is read as the default's type, and a text as it was typed: paths need no quoting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import yaml

from burnish.config.paths import conf_dir
from burnish.errors import ConfigError

NEEDED = "???"  # no default: the key must be given


def help_of(verb: str) -> str:
    """The verb's file: what it does, its keys, their defaults."""
    lines = (conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8")
    return f"usage: python src/{verb}.py key=value ...     (or: burnish {verb} ...)\n\n{lines}"


def options(verb: str, words: Sequence[str]) -> dict[str, Any]:
    """The verb's keys with what was typed.

    Args:
        verb: names the file.
        words: ``key=value``; dots reach into mappings.

    Raises:
        ConfigError: naming every word that is wrong.
    """
    text = (conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8")
    defaults = dict(_flat(yaml.safe_load(text)))
    given: dict[str, Any] = {}
    problems = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in defaults:
            problems.append(_unknown(word, key, bool(equals), defaults))
            continue
        try:
            given[key] = _read(value, defaults[key])
        except ValueError as error:
            problems.append(f"{key}: must be {error}, found {value!r}")
    values = {**defaults, **given}
    missing = [key for key, value in values.items() if isinstance(value, str) and value == NEEDED]
    problems += [f"{key}: must be given: burnish {verb} {key}=..." for key in missing]
    if problems:
        raise ConfigError(problems)
    return _nested(values)


def _unknown(word: str, key: str, assigned: bool, defaults: Mapping[str, Any]) -> str:
    if not assigned:
        return f"{word}: is not key=value; the keys are {', '.join(defaults)}"
    near = get_close_matches(key, defaults, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{key}: there is no such key; {hint}the keys are {', '.join(defaults)}"


def _read(text: str, default: Any) -> Any:
    """A value as the default's type; beside null a text or null.

    Raises:
        ValueError: saying what it must be.
    """
    if isinstance(default, str):
        return text
    if default is None:
        return None if text.lower() == "null" else text
    if isinstance(default, bool):
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError("true or false")
    if isinstance(default, list):
        with suppress(yaml.YAMLError):
            if isinstance(value := yaml.safe_load(text), list):
                return value
        raise ValueError("a list, [a,b]")
    kind = type(default)
    try:
        return kind(text)  # Python's: YAML's 1e-3 is a text
    except ValueError:
        raise ValueError("a whole number" if kind is int else "a number") from None


def _flat(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        *groups, key = name.split(".")
        node = found
        for group in groups:
            node = node.setdefault(group, {})
        node[key] = value
    return found
