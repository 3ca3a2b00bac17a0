"""Why a command line does not compose, in the user's words.

Hydra stops at the first override it cannot apply and speaks of structs and packages. Here the
overrides are tried one by one, so that all mistakes are reported, each with the nearest right name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from burnish.config.paths import conf_dir

# A ValueError: Hydra on a group choice that is a number.
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError)


def explain(
    verb: str, overrides: Sequence[str], user_dirs: Sequence[Path] = ()
) -> tuple[list[str], DictConfig | None]:
    """Find the overrides that do not apply to ``conf/<verb>.yaml``.

    Args:
        verb: the root configuration.
        overrides: as typed, without flags.
        user_dirs: folders given with ``--config-dir``.

    Returns:
        One line for each such override, beginning with its key; and what the others compose to,
        so that its values can be checked as well.
    """
    GlobalHydra.instance().clear()
    dirs = [conf_dir(), *user_dirs]
    groups = {str(path.relative_to(root)) for root in dirs for path in _folders(root)}
    # name refers to Hydra's own state, which there is only in a job.
    good = ["name=unnamed"] if verb in ("train", "diagnose") else []
    if user_dirs:
        good.append(f"hydra.searchpath=[{','.join(f'file://{d.resolve()}' for d in user_dirs)}]")
    problems, parsed = _parse(overrides)
    with initialize_config_dir(config_dir=str(conf_dir()), job_name=verb):
        # Groups first: a key may exist only after its group was chosen.
        for override in sorted(parsed, key=lambda o: o.key_or_group not in groups):
            try:
                # A sweep's choices are tried one by one: a=1,2 is no value of one run.
                for single in _singles(override):
                    compose(verb, [*good, single], return_hydra_config=True)
                good.append(next(iter(_singles(override))))
            except COMPOSITION_ERRORS as error:
                composed = _composed(verb, good)
                problems.append(_unapplied(override, error, groups, dirs, composed))
        return problems, _composed(verb, good)


def _parse(overrides: Sequence[str]) -> tuple[list[str], list[Override]]:
    problems, parsed = [], []
    for text in overrides:
        try:
            parsed.append(OverridesParser.create().parse_override(text))
        except COMPOSITION_ERRORS as error:
            problems.append(_unparsed(text, error))
    return problems, parsed


def _singles(override: Override) -> Iterator[str]:
    if not override.is_sweep_override():
        yield str(override.input_line)
        return
    try:
        values = list(override.sweep_string_iterator())
    except Exception:  # a search interval has no list of values: any in it will do
        values = ["0.5"]
    for value in values[:50]:
        yield f"{override.get_key_element()}={value!s}"


def _composed(verb: str, overrides: list[str]) -> DictConfig | None:
    try:
        return compose(verb, overrides)
    except COMPOSITION_ERRORS:
        return None


def _folders(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_dir())


def _unparsed(text: str, error: Exception) -> str:
    if "=" not in text:
        return f"{text}: expected key=value or group=choice"
    reason = " ".join(str(error).split()).partition("See http")[0].strip()
    key = text.partition("=")[0]
    return f"{key}: {text!r} cannot be read ({reason}); quote special signs: 'key=\"a,b\"'"


def _unapplied(
    override: Override,
    error: Exception,
    groups: set[str],
    dirs: Sequence[Path],
    config: DictConfig | None,
) -> str:
    key, values = override.key_or_group, _values(override)
    if key in groups:
        choices = sorted({p.stem for d in dirs for p in (d / key).glob("*.yaml")})
        wrong = [value for value in values if value not in choices]
        if wrong:
            near = get_close_matches(wrong[0], choices, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            return f"{key}: there is no {key}={wrong[0]}; {hint}choices: {', '.join(choices)}"
        return f"{key}: {_first_line(error)}"
    if key.startswith("hydra/"):  # Hydra's own groups: it lists their choices itself
        return f"{key}: {' '.join(str(error).split()).partition(' Config search path')[0]}"
    if key in ("search.space", "search.when"):
        return (
            f"{key}: stands in a file of conf/search; on the command line give the parameters "
            "themselves: 'optimizer.lr=interval(0.001,0.1)'"
        )
    known = groups | ({name for name, _ in _keys(config)} if config is not None else set())
    if key in known:
        return f"{key}: {_first_line(error)}"
    near = _same_leaf(key, known) or get_close_matches(key, known, n=3, cutoff=0.55)
    # modle=resnet18 means the group that has such a choice, not the key mode.
    near.sort(key=lambda n: not any((d / n / f"{v}.yaml").exists() for d in dirs for v in values))
    if near:
        return f"{key}: there is no such key; did you mean {near[0]}?"
    parent = key.rpartition(".")[0]
    inside = sorted(name for name in known if name.rpartition(".")[0] == parent)
    if not inside:
        return f"{key}: there is no such key"
    where = f"{parent} has" if parent else "there are"
    return f"{key}: there is no such key; {where} {', '.join(n.rpartition('.')[2] for n in inside)}"


def _values(override: Override) -> list[str]:
    return [s.partition("=")[2] for s in _singles(override)]


def _same_leaf(key: str, known: set[str]) -> list[str]:
    """``lr`` alone means ``optimizer.lr``."""
    leaf = key.rpartition(".")[2]
    found = sorted((n for n in known if n.rpartition(".")[2] == leaf), key=lambda n: n.count("."))
    return found[:1]


def _keys(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    plain: Any = node
    if isinstance(node, DictConfig):
        plain = OmegaConf.to_container(node, resolve=False)
    if isinstance(plain, dict):
        for name, value in plain.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key, value
            yield from _keys(value, key)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and isinstance(cause, OmegaConfBaseException):
        lines = [str(cause).splitlines()[0], *lines]
    return re.sub(r"\s+", " ", lines[0]) if lines else type(error).__name__
