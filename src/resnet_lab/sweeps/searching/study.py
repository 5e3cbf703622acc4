"""Open the Optuna study of a search, `search.db` in the sweep directory.

The process that searches asks for trials and tells their results. A trial that may be pruned finds
a `trial.json` in its run directory, and reports to the study itself: its machine must share the
directory, on a file system with locks that work for SQLite.
"""

import json
import sqlite3
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from resnet_lab.core.configuration.building import build
from resnet_lab.core.errors import closest
from resnet_lab.core.files import shown, write_json
from resnet_lab.runs.trained.run import TRIAL
from resnet_lab.sweeps.record import load
from resnet_lab.sweeps.searching.space import Space

STORAGE = "search.db"
SAMPLER = "hydra.sweeper.sampler"
NAME = "search"  # of the one study in the database
FRESH = ("tpe", "random")  # samplers that are built anew for each trial, see `make_sampler`
BUSY = 60  # seconds to wait for the write of another process

Choice = str | DictConfig | None  # a word, or an object by its `_target_`

optuna.logging.set_verbosity(optuna.logging.ERROR)  # the sweep prints messages of its own


class Options(NamedTuple):
    """How to search; see `make_sampler` and `make_pruner`."""

    sampler: Choice
    pruner: Choice
    seed: int | None


class Study(optuna.Study):
    """An Optuna study of one search space."""

    def __init__(self, storage: BaseStorage, space: Space, options: Options) -> None:
        super().__init__(NAME, storage, pruner=make_pruner(options.pruner))
        self.storage = storage
        self.space = space
        self.options = options
        self.exhausted = False  # the sampler has nothing left to try; see `stop`
        self._begun = False  # its sampler was made

    def stop(self) -> None:
        """Note that the sampler has nothing left to try; Optuna's own is for `optimize` alone."""
        self.exhausted = True

    def choose(self, number: int | None = None) -> optuna.Trial:
        """Choose the values of a new trial, or those that an earlier one, by its number, lacks."""
        count = len(self.get_trials(deepcopy=False)) if number is None else number
        choice, _, seed = self.options
        if choice in FRESH or not self._begun:
            self.sampler = make_sampler(choice, self.space, seed, count)
            self._begun = True
        try:
            trial = self.ask() if number is None else earlier_trial(self, self.storage, number)
            self.space.suggest(trial)
        except ImportError as error:  # a sampler's own package; Optuna brings none of them
            raise ValueError(f"hydra.sweeper.sampler: {error}: install it with pip") from error
        return trial

    def count(self, *states: TrialState) -> int:
        return len(self.get_trials(deepcopy=False, states=states or None))


def open_study(
    directory: Path | None, monitor: str, mode: str, space: Space, options: Options
) -> Study:
    """Open the study of a sweep directory, or create it; without a directory it is in memory.

    Raises a ValueError if the one that is there is another search or cannot be read, or there is no
    such sampler or pruner.
    """
    storage = InMemoryStorage() if directory is None else open_storage(directory / STORAGE)
    direction = StudyDirection.MINIMIZE if mode == "min" else StudyDirection.MAXIMIZE
    optuna.create_study(storage=storage, study_name=NAME, direction=direction, load_if_exists=True)
    study = Study(storage, space, options)
    now = {"monitor": monitor, SAMPLER: described(options.sampler), **space.described()}
    then: dict[str, str] = study.user_attrs.get("search", now)
    then.setdefault(SAMPLER, now[SAMPLER])  # not recorded by older studies
    differ = [
        f"{key} is {now.get(key, 'not given')} (was {then.get(key, 'not given')})"
        for key in dict.fromkeys([*now, *then])
        if now.get(key) != then.get(key)
    ]
    if differ:
        assert directory is not None
        raise ValueError(
            f"{shown(directory)} holds another search: {'; '.join(differ)}; leave sweep_dir out to "
            "begin a new one"
        )
    study.set_user_attr("search", now)
    return study


def refuse_lost_study(directory: Path) -> None:
    """Raise a ValueError if a sweep directory holds jobs, but no study that knows of them."""
    path = directory / STORAGE
    if load(directory)["jobs"] and not (path.is_file() and path.stat().st_size):
        raise ValueError(
            f"{shown(directory)} holds jobs, but the study that chose them is gone ({STORAGE} is "
            "missing or empty): leave sweep_dir out to begin a new search"
        )


def described(choice: Choice) -> str:
    """Return a sampler or a pruner as text."""
    plain = OmegaConf.to_container(choice) if isinstance(choice, DictConfig) else choice
    return plain if isinstance(plain, str) else json.dumps(plain, sort_keys=True)


def open_storage(path: Path) -> RDBStorage:
    """Open the database of a study, or make it."""

    def connect() -> sqlite3.Connection:  # no URL holds every path
        return sqlite3.connect(path, timeout=BUSY)

    try:
        return RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": NullPool})
    except DBAPIError as error:
        raise ValueError(f"{shown(path)}: {error.orig}") from error


def make_sampler(choice: Choice, space: Space, seed: int | None, number: int = 0) -> BaseSampler:
    """Build the sampler, which chooses the values of a trial.

    It is "tpe" or "random", which draw each trial from seed and number alone, so that a resumed
    search chooses as an undisturbed one would; "grid"; or any sampler of Optuna's by its
    `_target_`. Raises a ValueError if there is no such sampler, or it cannot take the space.
    """
    if choice == "grid":
        return GridSampler(space.grid(), seed=seed)
    if choice in FRESH:
        own = None if seed is None else zlib.crc32(f"{seed} {number}".encode())
        return TPESampler(seed=own) if choice == "tpe" else RandomSampler(seed=own)
    sampler = _made("sampler", choice, ["tpe", "random", "grid"], BaseSampler)
    assert isinstance(sampler, BaseSampler)
    if number:  # or it would repeat its first draws
        sampler.reseed_rng()
    return sampler


def make_pruner(choice: Choice) -> BasePruner:
    """Build the pruner, which stops bad trials; None stops none.

    "median", once five trials are done, stops a trial that is worse than their median after as many
    epochs; "halving" keeps the best quarter after 1, 4, 16, ... epochs (asynchronous successive
    halving, Li et al. 2020). It may be any pruner of Optuna's by its `_target_`, whose steps are
    epochs. Raises a ValueError if there is no such pruner.
    """
    if choice is None:
        return NopPruner()
    if choice == "median":
        return MedianPruner()
    if choice == "halving":
        return SuccessiveHalvingPruner()
    pruner = _made("pruner", choice, ["median", "halving", "null"], BasePruner)
    assert isinstance(pruner, BasePruner)
    return pruner


def _made(kind: str, choice: Choice, words: list[str], base: type[object]) -> object:
    key = f"hydra.sweeper.{kind}"
    if not isinstance(choice, Mapping | DictConfig) or "_target_" not in choice:
        near = closest(str(choice), words)
        raise ValueError(f"{key}={choice}: no such {kind}; {near} (or an object by its _target_)")
    with warnings.catch_warnings():  # the user asked for it by name
        warnings.simplefilter("ignore", ExperimentalWarning)
        made: object = build(OmegaConf.create({"hydra": {"sweeper": {kind: choice}}}), key)
    if not isinstance(made, base):
        raise ValueError(f"{key}._target_={choice['_target_']} is no {kind} of Optuna's")
    return made


def earlier_trial(study: optuna.Study, storage: BaseStorage, number: int) -> optuna.Trial:
    """Return a trial that was asked for earlier, maybe by another process."""
    of = storage.get_study_id_from_name(study.study_name)
    return optuna.Trial(study, storage.get_trial_id_from_study_id_trial_number(of, number))


def write_trial(directory: Path, trial: optuna.Trial, pruner: Choice) -> None:
    """Write which trial a run is, and its pruner, before the run starts."""
    directory.mkdir(exist_ok=True)
    plain: Any = OmegaConf.to_container(pruner) if isinstance(pruner, DictConfig) else pruner
    write_json(directory / TRIAL, {"trial": trial.number, "pruner": plain})


def read_trial(directory: Path) -> optuna.Trial | None:
    """Return the trial of a run; None if its study is not there or the trial is finished."""
    told = json.loads((directory / TRIAL).read_text())
    path = directory.parent / STORAGE
    if not path.is_file():  # the run directory was moved away from its sweep
        return None
    storage, pruner = open_storage(path), make_pruner(told["pruner"])
    study = optuna.load_study(study_name=NAME, storage=storage, pruner=pruner)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if told["trial"] not in [trial.number for trial in running]:
        return None
    return earlier_trial(study, storage, told["trial"])
