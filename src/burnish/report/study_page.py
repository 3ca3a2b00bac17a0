"""The page about a study: what won, how the search went, which parameters mattered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from optuna.trial import FrozenTrial

from burnish.report import study_figures, study_space
from burnish.report.figures import Drawn
from burnish.report.page import Cell, Number, Page, Picture, chart
from burnish.report.study_axes import LEAST_FOR_CUTTING
from burnish.report.study_facts import Parameter, StudyFacts, last_seen
from burnish.report.study_words import number, one_line, short_names, shown, whole

MOST_ROWS = 200
MOST_PIECES = 12  # panels of an objective
MOST_PAIRS = 6  # of objectives
LISTED = 12  # trials' numbers after a reason


def study_page(facts: StudyFacts, evaluate: str = "") -> Page:
    """The whole page.

    Args:
        facts: of the study.
        evaluate: the command that scores the best trial's checkpoint; empty if there is none.
    """
    page = Page(facts.name, "burnish study", lead(facts))
    page.facts(key_figures(facts))
    _winners(page, facts, evaluate)
    _course(page, facts)
    _parameters(page, facts)
    _failures(page, facts)
    _trials(page, facts)
    if facts.command:
        page.section("Command", "The search was started, and goes on, with")
        page.code(facts.command)
    return page


def lead(facts: StudyFacts) -> str:
    """The objectives in words."""
    ways = zip(facts.metrics, facts.maximise, strict=True)
    return "; ".join(f"{metric}, {'more' if up else 'less'} is better" for metric, up in ways)


def key_figures(facts: StudyFacts) -> list[tuple[str, str]]:
    """The head of the page."""
    figures = []
    if facts.ranked and facts.single:
        best = facts.ranked[0]
        figures = [(facts.metrics[0], number(best.values[0])), ("best trial", f"{best.number}")]
    elif facts.ranked:
        figures = [("Pareto front", f"{len(facts.ranked)} trials")]
    asked = "" if facts.asked is None else f" of {facts.asked:,}"
    figures.append(("trials", f"{facts.ended:,}{asked}"))
    figures += [(kind, f"{n:,}") for kind, n in facts.counts.items() if n]
    if facts.epochs:
        figures.append(("epochs trained", f"{facts.epochs:,}"))
    return figures


def _winners(page: Page, facts: StudyFacts, evaluate: str) -> None:
    page.section("Best trial" if facts.single else "Pareto front")
    if not facts.ranked:
        page.text(nothing_complete(facts))
        return
    if not facts.single:
        page.text("No other trial is better in one objective and as good in all others.")
        pairs = list(combinations(range(len(facts.metrics)), 2))[:MOST_PAIRS]
        alt = "Points: two objectives of every complete trial; the front is in the table."
        page.pictures(
            chart(study_figures.pareto(facts, *pair), "pareto-{}-{}".format(*pair), alt)
            for pair in pairs
        )
        page.table(*_table(facts, facts.ranked[:MOST_ROWS]))
    best = facts.ranked[0]
    if facts.single:
        rows = [(one_line(name), shown(value)) for name, value in best.params.items()]
        page.table(["parameter", f"trial {best.number}"], rows)
    if command := facts.repeat(best):
        page.text(f"Trial {best.number} as an ordinary run:")
        page.code(command)
    if evaluate:
        page.text("Its checkpoint on the test split:")
        page.code(evaluate)


def nothing_complete(facts: StudyFacts) -> str:
    """A sentence for studies without a result."""
    if not facts.trials:
        return "No trial was started yet."
    found = ", ".join(f"{n:,} {kind}" for kind, n in facts.counts.items() if n)
    return f"No trial is complete yet: {found}."


def _course(page: Page, facts: StudyFacts) -> None:
    if not facts.trials:
        return
    page.section("The search")
    if facts.pruned_share:
        page.text(f"{facts.pruned_share:.0%} of the trials were pruned: stopped as unpromising.")
    drawn = [
        (study_figures.history(facts, n), f"history-{n}" if n else "history")
        for n in range(len(facts.metrics))
    ]
    if any(trial.intermediate_values for trial in facts.trials):
        drawn.append((study_figures.curves(facts), "curves"))
    alt = "The value of every trial; the numbers are in the table of trials."
    page.pictures(chart(figure, name, alt) for figure, name in drawn)
    if len(facts.trials) > min(facts.counts["complete"], LEAST_FOR_CUTTING):
        page.text(
            "Pruned trials stand at the last value that was seen. Ticks on an edge are trials far "
            "beyond it or without a value."
        )


def _parameters(page: Page, facts: StudyFacts) -> None:
    if not facts.parameters or not facts.of_kind("complete"):
        return
    page.section("Parameters")
    fixed = [found.name for found in facts.parameters if found not in facts.varied]
    if fixed and len(facts.trials) > 1:
        page.text(f"The same in every trial: {', '.join(map(one_line, fixed))}.")
    for sentence in dict.fromkeys(filter(None, map(facts.unsaid, range(len(facts.metrics))))):
        page.text(sentence)
    if any(facts.importances):
        page.text(
            "Importance by fANOVA (Hutter and others, 2014): the share of the differences between "
            "complete trials that a parameter explains. It says where a choice matters, not which. "
            "Parameters that only some trials have are not judged."
        )
        alt = "Bars: the importance of each parameter, in percent."
        page.pictures([chart(study_figures.importances(facts), "importances", alt)])
    for objective in range(len(facts.metrics)):
        _space(page, facts, objective)


def _space(page: Page, facts: StudyFacts, objective: int) -> None:
    """Parallel coordinates and a panel for each parameter."""
    complete = facts.of_kind("complete")
    tried = {trial.number for trial in complete if math.isfinite(trial.values[objective])}
    chosen = [
        parameter
        for parameter in facts.by_importance(objective)
        if parameter in facts.varied and tried & parameter.values.keys()
    ]
    if not chosen:
        return
    if not facts.single:
        page.heading(facts.metrics[objective])
    suffix = f"-{objective}" if objective else ""
    if len(tried) > 1 and len(chosen) > 1:
        drawn = study_space.parallel(facts, objective)
        page.pictures([_wide(drawn, f"parallel{suffix}")])
    pieces = [(p, study_space.piece(facts, p, objective)) for p in chosen[:MOST_PIECES]]
    alt, width = f"Points: {facts.metrics[objective]} over ", round(96 * study_space.SLICE[0])
    page.pictures(
        Picture(drawn.light, alt + one_line(p.name), dark=drawn.dark, width=width)
        for p, drawn in pieces
    )
    left_out = len(chosen) - len(pieces)
    rest = f" {left_out} less important parameters are left out." if left_out else ""
    page.text(f"The later a trial, the stronger its colour; the best in orange.{rest}")


def _wide(drawn: Drawn, name: str) -> Picture:
    alt = "Lines: the parameters and the value of every complete trial."
    caption = "The better, the stronger; the best in orange."
    width = int.from_bytes(drawn.light[16:20], "big") // 2  # of a PNG; two pixels are one here
    return Picture(drawn.light, alt, caption, name, drawn.dark, width, scrolls=True)


def _failures(page: Page, facts: StudyFacts) -> None:
    if facts.failures:
        page.section("Failures")
        page.table(["reason", "number", "trials"], failure_rows(facts))


def failure_rows(facts: StudyFacts) -> list[list[Cell]]:
    """Reason, how often, which trials."""
    rows: list[list[Cell]] = []
    for text, numbers in facts.failures:
        more = " …" if len(numbers) > LISTED else ""
        rows.append([text, len(numbers), ", ".join(map(str, numbers[:LISTED])) + more])
    return rows


def _trials(page: Page, facts: StudyFacts) -> None:
    if not facts.trials:
        return
    page.section("All trials")
    page.table(*_table(facts, facts.trials[:MOST_ROWS], kinds=True))
    if (rest := len(facts.trials) - MOST_ROWS) > 0:
        page.text(f"and {rest:,} more; trials.csv has them all.")


def _table(
    facts: StudyFacts, trials: Sequence[FrozenTrial], *, kinds: bool = False
) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows: number, values, state, parameters, epochs and seconds."""
    found = facts.by_importance()
    short = short_names([parameter.name for parameter in found])
    names = [one_line(short[parameter.name]) for parameter in found]
    rows: list[list[Cell]] = []
    for trial in trials:
        row: list[Cell] = [Number(str(trial.number)), *_values(facts, trial)]
        row += [facts.kinds[trial.number]] * kinds
        row += [_cell(trial, parameter) for parameter in found]
        rows.append([*row, *_spent(trial)])
    return ["trial", *facts.metrics, *["state"] * kinds, *names, "epochs", "seconds"], rows


def _values(facts: StudyFacts, trial: FrozenTrial) -> list[Cell]:
    """A trial's values; of a pruned one the last that was seen, in brackets."""
    if facts.kinds[trial.number] == "complete":
        return [Number(number(value)) for value in trial.values]
    seen = last_seen(trial) if facts.single else None
    return [Number("" if seen is None else f"({number(seen)})")] * len(facts.metrics)


def _cell(trial: FrozenTrial, parameter: Parameter) -> Cell:
    text = shown(trial.params[parameter.name]) if parameter.name in trial.params else "-"
    return text if parameter.categories else Number(text)


def _spent(trial: FrozenTrial) -> list[Cell]:
    epochs, seconds = (trial.user_attrs.get(name) for name in ("epochs", "seconds"))
    known = isinstance(seconds, int | float)
    return [
        Number("" if whole(epochs) is None else f"{epochs:,}"),
        Number(f"{seconds:,.1f}" if known else ""),
    ]
