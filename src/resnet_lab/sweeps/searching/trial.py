"""Tell a run which trial of a search it is, by `trial.json` in its directory."""

import json
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from resnet_lab.core.files import shown, write_json
from resnet_lab.runs.trained.run import TRIAL
from resnet_lab.sweeps.searching.study import (
    NAME,
    STORAGE,
    Choice,
    earlier_trial,
    is_of_optuna,
    make_pruner,
    open_storage,
)


def write_trial(directory: Path, trial: optuna.Trial, pruner: Choice) -> None:
    """Write which trial a run is, and its pruner, before the run starts."""
    directory.mkdir(exist_ok=True)
    plain: Any = OmegaConf.to_container(pruner) if isinstance(pruner, DictConfig) else pruner
    told = {"trial": trial.number, "pruner": plain}
    write_json(directory / TRIAL, told)


def read_trial(directory: Path) -> optuna.Trial | None:
    """Return the trial of a run; None if its study is not there or the trial is finished.

    Raises:
        ValueError: the file names no pruner of Optuna's.
    """
    told = json.loads((directory / TRIAL).read_text())
    path = directory.parent / STORAGE
    if not path.is_file():  # the run directory was moved away from its sweep
        return None
    if not isinstance(told, dict) or not is_of_optuna(told.get("pruner")):
        raise ValueError(f"{shown(directory / TRIAL)} names a pruner that is none of Optuna's")
    storage = open_storage(path)
    study = optuna.load_study(
        study_name=NAME, storage=storage, pruner=make_pruner(told.get("pruner"))
    )
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if told.get("trial") not in [trial.number for trial in running]:
        return None
    return earlier_trial(study, storage, told["trial"])
