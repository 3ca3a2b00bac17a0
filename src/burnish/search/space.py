"""The search space: which keys vary, over what, and which of them depend on another's choice.

The grammar is that of the stock Optuna sweeper: ``interval``, ``range``, ``choice`` and lists with
commas, ``tag(log, interval(...))`` for a logarithmic scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from burnish.errors import ConfigError

Distributions = dict[str, BaseDistribution]
MOST_PROBES = 60


@dataclass(frozen=True)
class Branch:
    """Parameters that only trials have in which ``key`` has ``value``."""

    key: str
    value: str
    parameters: Distributions


@dataclass(frozen=True)
class Space:
    """What varies from trial to trial, and what is the same in all.

    Args:
        always: key to distribution.
        branches: of a conditional space.
        fixed: overrides that every trial gets, as typed.
        chosen: key to value of what a branch may depend on although it does not vary.
    """

    always: Distributions
    branches: tuple[Branch, ...] = ()
    fixed: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)

    def suggest(self, trial: Trial) -> list[str]:
        """Draw the trial's parameters.

        Returns:
            Its overrides in Hydra's grammar, without the fixed ones.
        """
        drawn = {name: _draw(trial, name, d) for name, d in self.always.items()}
        for branch in self.branches:
            if self._enters(branch, drawn):
                drawn |= {name: _draw(trial, name, d) for name, d in branch.parameters.items()}
        return [f"{name}={value}" for name, value in drawn.items()]

    def _enters(self, branch: Branch, drawn: Mapping[str, Any]) -> bool:
        if branch.key in drawn:
            return str(drawn[branch.key]) == branch.value
        return self.chosen.get(branch.key) == branch.value

    def probes(self) -> Iterator[list[str]]:
        """Trials at the edges of the space: every choice and every bound is in one of them."""
        seen: set[tuple[str, ...]] = set()
        names = {name: len(_edges(d)) for name, d in self._all()}
        variations = [("", 0), *((name, i) for name, n in names.items() for i in range(1, n))]
        for name, index in variations[:MOST_PROBES]:
            for entered in ({}, *({b.key: b.value} for b in self.branches)):
                probe = tuple(self._probe(entered, name, index))
                if probe not in seen:
                    seen.add(probe)
                    yield list(probe)

    def _probe(self, entered: Mapping[str, str], name: str, index: int) -> list[str]:
        def value(key: str, distribution: BaseDistribution) -> Any:
            if key in entered:
                return entered[key]
            return _edges(distribution)[index if key == name else 0]

        drawn = {key: value(key, d) for key, d in self.always.items()}
        for branch in self.branches:
            if self._enters(branch, drawn):
                drawn |= {key: value(key, d) for key, d in branch.parameters.items()}
        return [f"{key}={value}" for key, value in drawn.items()]

    def _all(self) -> Iterator[tuple[str, BaseDistribution]]:
        yield from self.always.items()
        for branch in self.branches:
            yield from branch.parameters.items()

    def names(self) -> set[str]:
        """Every key that varies."""
        return {name for name, _ in self._all()}

    def to_dict(self) -> dict[str, str]:
        """Name, with the condition if there is one, to the distribution: what a study remembers."""
        plain = {name: distribution_to_json(d) for name, d in self.always.items()}
        for branch in self.branches:
            for name, distribution in branch.parameters.items():
                plain[f"{name} when {branch.key}={branch.value}"] = distribution_to_json(
                    distribution
                )
        return plain


def read_space(
    space: Mapping[str, Any],
    when: Mapping[str, Mapping[str, Any]],
    arguments: Sequence[str],
    choices: Mapping[str, str] = MappingProxyType({}),
) -> Space:
    """The space of a search.

    Args:
        space: ``search.space``.
        when: ``search.when``.
        arguments: overrides of the command line: they extend the space, change a parameter's
            range, or take a parameter out of it by giving it one value.
        choices: group to the choice of the configuration, for conditions on what does not vary.

    Raises:
        ConfigError: naming every parameter that cannot be searched as it says.
    """
    problems: list[str] = []
    parsed = OverridesParser.create().parse_overrides([*arguments])
    fixed = tuple(str(o.input_line) for o in parsed if not o.is_sweep_override())
    typed = {o.key_or_group if o.is_delete() else o.get_key_element(): o for o in parsed}
    always = _distributions({**space}, "search.space", problems)
    for name, override in typed.items():
        always.pop(name, None)
        if override.is_sweep_override():
            always |= _one(override, "", problems)
    plain = [o for o in typed.values() if not (o.is_sweep_override() or o.is_delete())]
    chosen = {**choices} | {o.get_key_element(): str(o.get_value_element_as_str()) for o in plain}
    branches = []
    for condition, parameters in when.items():
        key, equals, value = condition.partition("=")
        if not equals or not (key in always or key in chosen):
            problems.append(
                f"search.when: {condition!r} must be key=value with a group or a key of the space: "
                f"{', '.join(always) or 'which is empty'}"
            )
            continue
        if key in always and value not in _choices(always[key]):
            problems.append(
                f"search.when: {condition} never holds: {key} is one of "
                f"{', '.join(_choices(always[key])) or 'no list of choices'}"
            )
        found = _distributions({**parameters}, f"search.when.{condition}", problems)
        branches.append(Branch(key, value, {n: d for n, d in found.items() if n not in typed}))
    if not problems and not always:
        problems.append(
            "search.space: is empty: nothing would vary; add for example "
            "'optimizer.lr=tag(log,interval(1e-4,1e-1))'"
        )
    if problems:
        raise ConfigError(problems)
    return Space(always, tuple(branches), fixed, chosen)


def _distributions(node: Mapping[str, Any], where: str, problems: list[str]) -> Distributions:
    found: Distributions = {}
    for name, expression in node.items():
        if expression is None:  # switched off
            continue
        try:
            override = OverridesParser.create().parse_override(f"{name}={expression}")
        except HydraException as error:
            reason = " ".join(str(error).split()).partition("See http")[0].strip()
            problems.append(f"{where}: {name}: {expression!r} cannot be read ({reason})")
            continue
        if not override.is_sweep_override():
            problems.append(
                f"{where}: {name}: {expression!r} is one value; write interval(low, high), "
                "range(start, stop, step) or choice(a, b)"
            )
            continue
        found |= _one(override, where, problems)
    return found


def _one(override: Override, where: str, problems: list[str]) -> Distributions:
    name = override.get_key_element()
    label = f"{where}: {name}" if where else name
    text = str(override.input_line).partition("=")[2]
    if problem := _wrong_interval(override):
        problems.append(f"{label}: {text} {problem}")
        return {}
    try:
        return {name: create_optuna_distribution_from_override(override)}
    except (ValueError, AssertionError, NotImplementedError) as error:
        problems.append(f"{label}: {text} cannot be searched ({' '.join(str(error).split())})")
        return {}


def _wrong_interval(override: Override) -> str | None:
    value = override.value()
    if not isinstance(value, IntervalSweep) or value.start is None or value.end is None:
        return None
    low, high = value.start, value.end
    if low > high:
        return f"is upside down; did you mean interval({high}, {low})?"
    if low == high:
        return f"is empty; did you mean the one value {low}?"
    if "log" in value.tags and low <= 0:
        return "cannot be logarithmic: it must begin above 0"
    return None


def _draw(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        d = distribution
        return trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    if isinstance(distribution, IntDistribution):
        i = distribution
        return trial.suggest_int(name, i.low, i.high, step=i.step, log=i.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def _edges(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


def _choices(distribution: BaseDistribution) -> list[str]:
    if isinstance(distribution, CategoricalDistribution):
        return [str(choice) for choice in distribution.choices]
    return []
