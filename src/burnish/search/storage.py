"""Where a study is kept: opened, created by whoever comes first, refused if it is another's."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import yaml
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from burnish.errors import ConfigError, RunError
from burnish.runs.console import short
from burnish.search.space import Space

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

# Workers that start together race for the tables; SQLite lets one write at a time.
ATTEMPTS = 5
SQLITE_TIMEOUT_SECONDS = 60
# Where a study is kept if nothing else is said, in the folder of its search.
FILE = "study.db"


def located(storage: str | None, folder: Path) -> URL | None:
    """The database that ``search.storage`` means.

    Args:
        storage: the name of an SQLite file in ``folder``, or a URL as SQLAlchemy has it, in which
            ``postgresql://`` means the driver psycopg2; None: memory.
        folder: of the search.

    Raises:
        ConfigError: if it is neither.
    """
    if storage is None:
        return None
    if "://" not in storage:
        return URL.create("sqlite", database=str(folder.absolute() / storage))
    try:
        url = make_url(storage)
    except ArgumentError as error:
        raise ConfigError(
            f"search.storage: {storage!r} is no URL of a database: write sqlite:///path or "
            "postgresql://user:password@host/name"
        ) from error
    return url.set(drivername="postgresql+psycopg2") if url.drivername == "postgresql" else url


def masked(url: URL | None) -> str:
    """For messages and files: a file's path, or the URL without its password."""
    if url is None:
        return "memory"
    if url.get_backend_name() == "sqlite" and url.database:
        return short(Path(url.database))
    return url.render_as_string(hide_password=True)


def open_storage(url: URL | None, *, look: bool = False) -> BaseStorage:
    """The database behind a URL.

    Args:
        url: None: memory.
        look: nothing is created in it.

    Raises:
        ConfigError: if it cannot be reached, is no database, or its driver is not installed.
    """
    if url is None:
        return InMemoryStorage()
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and url.database and not url.database.startswith("file:"):
        file = Path(url.database)
        needed = file if look else file.parent
        if not needed.exists():
            raise ConfigError(f"search.storage: {short(needed)} does not exist")
    engine: dict[str, Any] = {"timeout": SQLITE_TIMEOUT_SECONDS} if sqlite else {}
    try:
        storage: BaseStorage = _patiently(
            lambda: RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs={"connect_args": engine},
                skip_table_creation=look,
            )
        )
        return storage
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"search.storage: the driver of {masked(url)} is missing ({_first_line(error)}); "
            "for PostgreSQL: pip install 'burnish[postgres]'"
        ) from error
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        raise ConfigError(
            f"search.storage: {masked(url)} cannot be used: {reason(error)}"
        ) from error


def reason(error: BaseException) -> str:
    """What the database said, in a line."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else None
    error = cause or error
    return _first_line(error.orig or error if isinstance(error, DBAPIError) else error)


def _patiently(make: Any) -> Any:
    for attempt in range(ATTEMPTS):
        try:
            return make()
        except DBAPIError as error:
            known = ("already exists", "UNIQUE", "unique", "locked", "duplicate key")
            if attempt + 1 == ATTEMPTS or not any(word in str(error) for word in known):
                raise
            time.sleep(0.2 * 2**attempt)
    raise AssertionError  # the last attempt raises or returns


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def open_study(
    url: URL | None,
    name: str,
    metrics: Sequence[str],
    directions: Sequence[str],
    space: Space,
    fixed: dict[str, Any],
    *,
    sampler: BaseSampler,
    pruner: BasePruner,
) -> optuna.Study:
    """The study of this name, created if it is not there.

    Args:
        url: of the database; None: memory.
        name: of the study.
        metrics: names of the objectives.
        directions: ``minimize`` or ``maximize`` of each.
        space: what varies.
        fixed: dotted key to value of everything else that decides a trial's result.
        sampler: draws parameters.
        pruner: stops trials that fall behind.

    Raises:
        ConfigError: if it exists with other objectives, another space or another configuration:
            values of different experiments must not be compared.
    """
    storage = open_storage(url)
    known = {
        s.study_name for s in optuna.get_all_study_summaries(storage, include_best_trial=False)
    }
    study: optuna.Study = _patiently(
        lambda: optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=sampler,
            pruner=pruner,
            directions=[*directions],  # type: ignore[list-item]
            load_if_exists=True,
        )
    )
    plain = {"metrics": [*metrics], "space": space.to_dict(), "fixed": fixed}
    if name in known and (problems := _differences(study, directions, plain)):
        where = f"study {name!r} in {masked(url)}"
        raise ConfigError(
            [f"search.study: {where} {p}; choose another name: search.study=..." for p in problems]
        )
    for key, value in plain.items():
        if study.user_attrs.get(key) != value:
            study.set_user_attr(key, value)
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        if study.metric_names != [*metrics]:
            study.set_metric_names([*metrics])
    return study


def _differences(
    study: optuna.Study, directions: Sequence[str], plain: dict[str, Any]
) -> list[str]:
    stored = study.user_attrs
    theirs = [d.name.lower() for d in study.directions]
    if theirs != [*directions]:
        return [f"has the directions {', '.join(theirs)}, this search {', '.join(directions)}"]
    if "space" not in stored:
        # A worker that was killed between creating it and describing it leaves no trials.
        return ["was not made by this sweeper"] if study.get_trials(deepcopy=False) else []
    if stored["metrics"] != plain["metrics"]:
        return [f"optimises {', '.join(stored['metrics'])}, this search "
                f"{', '.join(plain['metrics'])}"]  # fmt: skip
    other = _first_difference("searches", stored["space"], plain["space"])
    trials = study.get_trials(deepcopy=False)
    # Before anything counts, a mistake in the command may still be mended.
    if any(t.state != TrialState.WAITING and not t.user_attrs.get("interrupted") for t in trials):
        other += _first_difference("was begun with", stored.get("fixed", {}), plain["fixed"])
    return other


def _first_difference(verb: str, stored: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    keys = [k for k in (stored | asked) if stored.get(k, "nothing") != asked.get(k, "nothing")]
    if not keys:
        return []
    key, more = keys[0], f" (and {len(keys) - 1} more differ)" if len(keys) > 1 else ""
    had, has = stored.get(key, "nothing"), asked.get(key, "nothing")
    return [f"{verb} {key}: {had}, this search has {has}{more}"]


def open_existing(folder: Path, storage: str | None = None) -> optuna.Study:
    """The study of a search's folder, to be looked at. Nothing is written.

    Args:
        folder: of the search; it holds ``study.yaml``.
        storage: URL of its database, if that is not the folder's own file. What ``study.yaml``
            says of it is not followed: the folder may be a stranger's.

    Raises:
        RunError: if the folder belongs to no search or its database holds no such study.
        ConfigError: if the database cannot be used.
    """
    path = folder / "study.yaml"
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
        name, elsewhere = str(said["study"]), said["storage"]
    except OSError as error:
        raise RunError(f"{folder}: is no folder of a search: it holds no study.yaml") from error
    except (yaml.YAMLError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: must say study and storage ({error})") from error
    beside = folder / FILE
    if storage is not None:
        url = located(storage, folder)
    elif beside.is_file() and not beside.is_symlink():
        # Read only. In a URI every special sign is quoted.
        file = f"file:{quote(str(beside.absolute()))}"
        url = URL.create("sqlite", database=file, query={"mode": "ro", "uri": "true"})
    else:
        where = (
            f"in {elsewhere}; if that is yours: --storage URL" if elsewhere else "in memory only"
        )
        raise RunError(f"{folder}: holds no {FILE}: the study was kept {where}")
    try:
        return optuna.load_study(study_name=name, storage=open_storage(url, look=True))
    except KeyError as error:
        raise RunError(f"{masked(url)}: holds no study {name!r}") from error
