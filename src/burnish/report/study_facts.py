"""What a study of Optuna says, in plain figures: the terminal and the page show the same.

The trials are those that ``burnish`` runs: one ordinary run each, named by the trial's number.
Names, categories and messages in them are anybody's, and attributes may be missing.
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from optuna import Study, create_study
from optuna.distributions import CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from burnish.report.study_words import category, one_line, reason, whole
from burnish.runs.console import printable

# Below, the best few trials tell parameters apart by luck (seen on functions with known answers).
LEAST_FOR_IMPORTANCES = 15
# Above, every second, third ... trial is judged by: fANOVA takes a minute for 1,000.
MOST_FOR_IMPORTANCES = 300

Values = Mapping[int, float]  # by the trial's number


@dataclass(frozen=True)
class Parameter:
    """One parameter of the space and what the trials tried.

    Args:
        name: a key of the configuration, or a group.
        categories: in the order of the space; empty if the parameter is a number.
        log: whether it was drawn on a logarithmic scale.
        values: of the trials that have it: the number, or the index of the category.
    """

    name: str
    categories: tuple[str, ...]
    log: bool
    values: Values

    @property
    def whole(self) -> bool:
        """Whether every number that was tried is a whole one."""
        return all(value.is_integer() for value in self.values.values())


class StudyFacts:
    """A study's trials, sorted into what a reader asks for.

    Args:
        study: an opened study; it is read once and not changed.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.name = one_line(study.study_name)
        self.trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
        self.maximise = [way == StudyDirection.MAXIMIZE for way in study.directions]
        unnamed = ["value"] if self.single else [f"value {n}" for n in range(len(self.maximise))]
        self.metrics = [one_line(name) for name in study.metric_names or unnamed]
        self.attributes = study.user_attrs

    @property
    def single(self) -> bool:
        """Whether there is one objective."""
        return len(self.maximise) == 1

    @cached_property
    def kinds(self) -> dict[int, str]:
        """What became of each trial, by its number; an interrupted one has not failed."""
        return {
            trial.number: "interrupted"
            if trial.user_attrs.get("interrupted") and trial.state == TrialState.FAIL
            else _kind(trial)
            for trial in self.trials
        }

    def of_kind(self, kind: str) -> list[FrozenTrial]:
        """The trials of one of :data:`KINDS`."""
        return [trial for trial in self.trials if self.kinds[trial.number] == kind]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Trials of every kind, also of those that no trial is of."""
        found = Counter(self.kinds.values())
        return {kind: found[kind] for kind in KINDS}

    @property
    def ended(self) -> int:
        """Trials that count towards the total: interrupted ones are tried again."""
        return sum(self.counts[kind] for kind in ("complete", "pruned", "failed"))

    @property
    def asked(self) -> int | None:
        """How many trials the study shall have; None if that was not recorded."""
        return whole(self.attributes.get("n_trials"))

    @property
    def remaining(self) -> int | None:
        """Trials still to be made; None if the total is not known."""
        return None if self.asked is None else max(self.asked - self.ended, 0)

    @property
    def pruned_share(self) -> float | None:
        """Pruned trials among those that gave a value or were pruned, in [0, 1]."""
        judged = self.counts["complete"] + self.counts["pruned"]
        return self.counts["pruned"] / judged if judged else None

    @property
    def epochs(self) -> int:
        """Epochs that all trials trained."""
        return sum(whole(trial.user_attrs.get("epochs")) or 0 for trial in self.trials)

    @cached_property
    def ranked(self) -> list[FrozenTrial]:
        """Complete trials, the best first; of several objectives only the Pareto front.

        Equal values: the earlier trial first. A front is sorted by the first objective.
        """
        complete = self.of_kind("complete")
        sign = -1 if self.maximise[0] else 1
        chosen = complete if self.single else front(complete, self.maximise)
        return sorted(chosen, key=lambda trial: (sign * trial.values[0], trial.number))

    @cached_property
    def parameters(self) -> list[Parameter]:
        """Of the space, in the order in which trials met them."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.params)
        return [_parameter(name, self.trials) for name in names]

    @cached_property
    def varied(self) -> list[Parameter]:
        """The parameters of which at least two values were tried."""
        return [found for found in self.parameters if len(set(found.values.values())) > 1]

    @property
    def judged(self) -> list[Parameter]:
        """Those that every complete trial has: importances of the others are not known."""
        complete = self.of_kind("complete")
        return [p for p in self.varied if all(trial.number in p.values for trial in complete)]

    @cached_property
    def importances(self) -> list[dict[str, float]]:
        """Of each objective: share of each parameter, the largest first; empty: see ``unsaid``."""
        return [
            {} if self.unsaid(objective) else _importances(self, objective)
            for objective in range(len(self.metrics))
        ]

    def unsaid(self, objective: int) -> str:
        """Why an objective has no importances, as a sentence; empty if it has."""
        values = [t.values[objective] for t in self.of_kind("complete")]
        finite = {value for value in values if math.isfinite(value)}
        if len(values) < LEAST_FOR_IMPORTANCES:
            return (
                f"Importances need at least {LEAST_FOR_IMPORTANCES} complete trials; "
                f"there {'is' if len(values) == 1 else 'are'} {len(values)}."
            )
        if len(finite) < 2:
            return f"No importances: {self.metrics[objective]} is the same in all complete trials."
        if len(self.judged) < 2:
            return "No importances: fewer than two parameters vary in all trials."
        return ""

    def by_importance(self, objective: int = 0) -> list[Parameter]:
        """The parameters that vary, or all if none does; the most important first if known."""
        order = {name: rank for rank, name in enumerate(self.importances[objective])}
        return sorted(
            self.varied or self.parameters, key=lambda found: order.get(found.name, len(order))
        )

    def log(self, objective: int) -> bool:
        """Whether an objective is to be drawn on a logarithmic scale: parameters, say, or bytes.

        A few outliers do not decide that, so it is the middle 80 % that must span a factor of 30.
        """
        values = sorted(trial.values[objective] for trial in self.of_kind("complete"))
        tenth = len(values) // 10
        positive = bool(values) and values[0] > 0 and math.isfinite(values[-1])
        return positive and 30 * values[tenth] < values[-1 - tenth]

    @cached_property
    def failures(self) -> list[tuple[str, list[int]]]:
        """Reasons of failed trials with the trials' numbers, the most frequent first.

        Messages that differ in figures only, bytes of a full memory say, are one reason.
        """
        groups: dict[str, tuple[str, list[int]]] = {}
        for trial in self.of_kind("failed"):
            text = reason(trial)
            groups.setdefault(re.sub(r"[\d.,]+", "0", text), (text, []))[1].append(trial.number)
        return sorted(groups.values(), key=lambda group: -len(group[1]))

    @property
    def command(self) -> str:
        """What was typed to start the search; empty if it was not recorded."""
        typed = self.attributes.get("command")
        return printable(typed) if isinstance(typed, str) else ""

    def repeat(self, trial: FrozenTrial) -> str:
        """The command that repeats a trial as an ordinary run; empty if it was not recorded."""
        start, overrides = self.attributes.get("repeat"), trial.user_attrs.get("overrides")
        if not isinstance(start, str) or not isinstance(overrides, list):
            return ""
        # Whoever wrote the study may have written this: it must be words, and begin as ours do.
        if shlex.join(words := _split(start)) != start or not _is_ours(words):
            return ""
        return printable(f"{start} {shlex.join(map(str, overrides))}".strip())


_KINDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def _kind(trial: FrozenTrial) -> str:
    """A complete trial without values is none: somebody else wrote it."""
    lost = trial.state == TrialState.COMPLETE and not trial.values
    return "failed" if lost else _KINDS[trial.state]


KINDS = ("complete", "pruned", "failed", "interrupted", "running", "waiting")


def front(trials: Sequence[FrozenTrial], maximise: Sequence[bool]) -> list[FrozenTrial]:
    """The trials that no other one is better than in one objective and as good in all others.

    Args:
        trials: complete ones.
        maximise: of each objective, whether more is better.
    """
    costs = {
        trial.number: [-v if up else v for v, up in zip(trial.values, maximise, strict=True)]
        for trial in trials
    }

    def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    return [
        trial
        for trial in trials
        if not any(dominates(cost, costs[trial.number]) for cost in costs.values())
    ]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _is_ours(words: Sequence[str]) -> bool:
    if words[:1] == ["python"]:
        return len(words) > 1 and words[1].endswith("train.py")
    return words[:2] == ["burnish", "train"]


def best_so_far(values: Iterable[float], maximise: bool) -> list[float]:
    """The best of the first 1, 2, 3 ... values."""
    best: list[float] = []
    for value in values:
        better = value if not best else (max if maximise else min)(best[-1], value)
        best.append(better)
    return best


def last_seen(trial: FrozenTrial) -> float | None:
    """The value of a complete trial of one objective, or the last intermediate one, if any."""
    if trial.state == TrialState.COMPLETE:
        return float(trial.values[0])
    seen = trial.intermediate_values
    return float(seen[max(seen)]) if seen else None


def _parameter(name: str, trials: Sequence[FrozenTrial]) -> Parameter:
    having = [trial for trial in trials if name in trial.params]
    spaces = [trial.distributions[name] for trial in having]
    choices = [s.choices for s in spaces if isinstance(s, CategoricalDistribution)]
    if not choices:
        log = any(getattr(space, "log", False) for space in spaces)
        values = {trial.number: float(trial.params[name]) for trial in having}
        return Parameter(name, (), log, values)
    names = list(dict.fromkeys(category(choice) for some in choices for choice in some))
    index = {category: i for i, category in enumerate(names)}
    values = {trial.number: float(index[category(trial.params[name])]) for trial in having}
    return Parameter(name, tuple(names), False, values)


def _importances(facts: StudyFacts, objective: int) -> dict[str, float]:
    """Shares of variance by fANOVA (Hutter and others, 2014).

    PED-ANOVA is faster, but takes for important what a sampler that learns has made the best
    trials alike in: of NSGA-II's trials it held dropout for what decides a net's size.
    """
    complete = facts.of_kind("complete")
    every = -(-len(complete) // MOST_FOR_IMPORTANCES)
    sample = create_study(directions=facts.study.directions)
    sample.add_trials(complete[::every])
    found = get_param_importances(
        sample,
        evaluator=FanovaImportanceEvaluator(n_trees=16, seed=0),
        params=[parameter.name for parameter in facts.judged],
        target=lambda trial: trial.values[objective],
    )
    return {name: float(share) for name, share in found.items()}
