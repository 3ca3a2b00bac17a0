"""What a job knows of the trial that it is, in the sweep's process or in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.pruners import BasePruner

from burnish.search.storage import located, open_storage

# Trials that this process asked for, by study and number: its jobs take them from here, and need
# not read the whole study again.
ASKED: dict[tuple[str, int], optuna.Trial] = {}


@dataclass(frozen=True)
class Trial:
    """A job's trial.

    Args:
        number: in the study; None in the processes of a distributed run but the first, which
            leave all decisions to it.
        study: its name.
        storage: ``search.storage``.
        folder: of the search.
        against: further objectives.
        pruner: for other processes than the search's.
    """

    number: int | None
    study: str
    storage: str | None
    folder: Path
    against: tuple[str, ...] = ()
    pruner: BasePruner | None = None

    def open(self) -> optuna.Trial | None:
        """The trial in its study."""
        if self.number is None:
            return None
        if asked := ASKED.get((self.study, self.number)):
            return asked
        study = optuna.load_study(
            study_name=self.study,
            storage=open_storage(located(self.storage, self.folder)),
            pruner=self.pruner,
        )
        trial = study.get_trials(deepcopy=False)[self.number]
        return optuna.Trial(study, trial._trial_id)
