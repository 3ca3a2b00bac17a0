"""Every error that burnish raises on purpose.

BurnishError              the user's mistake: one readable message, exit code 2, no traceback
├── ConfigError           a key, group or value of the configuration (lists all that were found)
├── DataError             a file or folder of the data set
├── ModelError            a net that does not fit its data, or weights that do not fit the net
├── RunError              a run folder or checkpoint that cannot be read
├── BundleError           an exported bundle that cannot be made, read or trusted
└── TrainingError         a training that went wrong for a reason the user can mend
Interrupted               Ctrl-C or SIGTERM; not an Exception: nothing treats it as a failure

Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence


class BurnishError(Exception):
    """The user's mistake: says what was found, where, and what would be right."""


class ConfigError(BurnishError):
    """One or several mistakes in a configuration.

    Args:
        problems: one line each, beginning with the key it is about.
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DataError(BurnishError):
    """A file or folder of a data set is missing, unreadable or of the wrong form."""


class ModelError(BurnishError):
    """A net cannot take the data's spec, or weights do not fit the net."""


class RunError(BurnishError):
    """A run folder or checkpoint is missing, incomplete or refused."""


class BundleError(BurnishError):
    """A bundle is missing, damaged or computes something else; an extra for it is missing."""


class TrainingError(BurnishError):
    """The loss is no longer finite, a batch was not learned, and the like."""


class Interrupted(BaseException):
    """A signal ended the run, after its state was saved.

    Args:
        signum: the signal; the exit code is 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
