"""study: what a search found, in the terminal and as a page."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from burnish.errors import ConfigError, RunError
from burnish.report.study_facts import StudyFacts
from burnish.report.study_page import failure_rows, lead, nothing_complete, study_page
from burnish.report.study_words import number, one_line, short_names, shown
from burnish.runs.console import open_log, printable, say, short, table
from burnish.runs.folder import RunFolder
from burnish.runs.outcome import described
from burnish.search.storage import open_existing

HELP = """\
Say what the search in FOLDER found: the best trials, what became of the others, which parameters
mattered, and the command that repeats the best trial as an ordinary run. Then write
FOLDER/index.html, one page with figures that needs nothing else.

FOLDER is outputs/search/<study name>, as a search leaves it. A search may be running meanwhile.
"""

EXAMPLES = """\
examples:
  python src/train.py -m search=mnist search.n_trials=50     a search
  burnish study outputs/search/mnist
  burnish study outputs/search/mnist --top 3 --no-page
  burnish study outputs/search/mnist --storage postgresql+psycopg2://user@host/studies
"""

MOST_COLUMNS = 6  # parameters in the terminal's table; the page has all


def main(argv: Sequence[str]) -> int:
    """Run ``burnish study`` with these arguments; returns the exit code 0.

    Raises:
        ConfigError: if an option is out of range or the storage cannot be opened.
        RunError: if the folder holds no study.
    """
    options = _parser().parse_args(argv)
    if options.top < 1:
        raise ConfigError(f"--top: must be at least 1, found {options.top}")
    folder = Path(options.folder)
    if not folder.is_dir():
        raise RunError(f"{folder}: is no folder; expected that of a search, outputs/search/<name>")
    facts = _read(folder, options.storage)
    open_log(None)
    tell(facts, folder, options.top)
    if not options.no_page:
        path = study_page(facts, _evaluate(facts, folder)).write(folder)
        say(f"\npage        {short(path)}")
    return 0


def _read(folder: Path, storage: str | None) -> StudyFacts:
    study = open_existing(folder, storage)
    try:
        return StudyFacts(study)
    except (LookupError, TypeError, ValueError) as error:  # values that Optuna never writes
        raise RunError(f"{folder}: the study's database is damaged ({described(error)})") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "burnish study",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="of the search")
    add("--storage", metavar="URL",
        help="where the trials are kept, if it is not FOLDER/study.db")  # fmt: skip
    add("--top", type=int, default=10, metavar="N",
        help="trials in the table, at least 1 (default 10)")  # fmt: skip
    add("--no-page", action="store_true", help="only say it; write nothing")
    return parser


def tell(facts: StudyFacts, folder: Path, top: int) -> None:
    """Everything for the terminal.

    Args:
        facts: of the study.
        folder: of the study, with a run folder for each trial.
        top: rows of the table at most.
    """
    say(f"study       {facts.name}")
    say(f"objective   {lead(facts)}")
    say(f"trials      {_counts(facts)}")
    if facts.epochs:
        share = facts.pruned_share
        pruned = f", {share:.0%} of the trials pruned" if share else ""
        say(f"epochs      {facts.epochs:,} in all{pruned}")
    if facts.ranked:
        _tell_best(facts, top)
    else:
        say(f"best        {nothing_complete(facts)}")
    _tell_importances(facts)
    if facts.failures:
        say("\nfailures")
        for text, times, numbers in failure_rows(facts):
            say(f"{times:>5} x  {text}\n         trials {numbers}")
    _tell_commands(facts, folder)


def _counts(facts: StudyFacts) -> str:
    """``50 of 60: 31 complete, 18 pruned, 1 failed; 10 remaining``."""
    asked = "" if facts.asked is None else f" of {facts.asked:,}"
    counts = ", ".join(f"{n:,} {kind}" for kind, n in facts.counts.items() if n)
    remaining = f"; {facts.remaining:,} remaining" if facts.remaining else ""
    return f"{facts.ended:,}{asked}{': ' if counts else ''}{counts}{remaining}"


def _tell_best(facts: StudyFacts, top: int) -> None:
    best = facts.ranked[0]
    if facts.single:
        say(f"best        {number(best.values[0])} in trial {best.number}")
        title = "best trials"
    else:
        title = f"Pareto front, {len(facts.ranked)} of {facts.counts['complete']} complete trials"
    say(f"\n{title}")
    say(table(_rows(facts, facts.ranked[:top])))
    if not facts.single and (rest := len(facts.ranked) - top) > 0:
        say(f"  and {rest} more on the front: --top {len(facts.ranked)} shows all")
    if (rest := len(facts.varied) - MOST_COLUMNS) > 0:
        say(f"  {rest} more parameters are on the page")


def _rows(facts: StudyFacts, trials: Sequence[FrozenTrial]) -> list[list[str]]:
    names = [parameter.name for parameter in facts.by_importance()]
    short_name = short_names(names)
    names = names[:MOST_COLUMNS]
    header = ["trial", *facts.metrics, *(one_line(short_name[name]) for name in names)]
    return [header] + [
        [
            str(trial.number),
            *map(number, trial.values),
            *(shown(trial.params[name]) if name in trial.params else "-" for name in names),
        ]
        for trial in trials
    ]


def _tell_importances(facts: StudyFacts) -> None:
    say("\nimportance of the parameters (fANOVA)")
    for objective, metric in enumerate(facts.metrics):
        found = facts.importances[objective]
        if not found:
            say(f"  {facts.unsaid(objective)}")
            continue
        header = [["" if facts.single else metric, "share"]]
        say(table(header[facts.single :] + [[n, f"{share:.0%}"] for n, share in found.items()]))


def _tell_commands(facts: StudyFacts, folder: Path) -> None:
    if facts.ranked:
        best = facts.ranked[0]
        command = facts.repeat(best) or "the command was not recorded with this study"
        say(f"\nrepeat trial {best.number} as an ordinary run\n  {command}")
        if evaluate := _evaluate(facts, folder):
            say(f"score its checkpoint on the test split\n  {evaluate}")
    if facts.remaining and facts.command:
        say(f"\ngo on with the remaining trials\n  {facts.command}")


def _evaluate(facts: StudyFacts, folder: Path) -> str:
    """The command that scores the best trial; empty if it left no checkpoint."""
    if not facts.ranked:
        return ""
    run = RunFolder(folder / str(facts.ranked[0].number))
    if not (run.checkpoints / "best.ckpt").is_file():
        return ""
    path = short(run.path)
    if not re.fullmatch(r"[\w./-]+", path, re.ASCII):
        from burnish.search.launching import quoted  # brings Hydra along

        path = quoted(path)
    return printable(shlex.join(["python", "src/eval.py", f"run={path}"]))
