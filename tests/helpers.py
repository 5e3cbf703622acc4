"""What several tests compose, start, wait for, and read out of runs and sweeps."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import optuna
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from optuna.trial import FrozenTrial

from resnet_lab.core.configuration.config import CONF
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.data.facts import Facts
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.resolvers import register_resolvers
from resnet_lab.sweeps.searching.study import STORAGE

REPOSITORY = CONF.parent
REAL_DATA = Path(os.environ.get("RESNET_LAB_DATA", REPOSITORY / "data")).absolute()

Compose = Callable[..., DictConfig]
Command = Callable[..., tuple[int, str, str]]

# The smallest run that goes through everything but pictures, which take a third of its time: a
# network of 8 layers, 3 batches, 2 epochs.
TINY = (
    "model.depth=8",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.limit_train_batches=3",
    "callbacks.progress=null",
    "callbacks.summary=null",
    "callbacks.images=null",
)

DRAWN = tuple(override for override in TINY if "images" not in override)  # with pictures
# A sweep of it.
JOBS = (*TINY, "trainer.max_epochs=3", "sweep_dir=sweep")

FACTS = Facts(name="set", classes=list("abcdef"), channels=3, image_size=8, mean=[0.5], std=[0.5])
# Our networks, by their options; one of the user's need not keep to what tests ask of these.
NETWORKS = (
    "norm_free_resnet", "preact_resnet164", "preact_resnet18", "resnet18", "resnet20", "resnet9",
    "resnext50", "small_resnet", "uniform_resnet", "wide_resnet50", "whitened_resnet", "wrn",
)  # fmt: skip
LR = "optimizer.lr=tag(log,interval(1e-3,1))"


def slow(*values: object) -> Any:
    """Return parameters that are left out unless asked for: the others take the same way."""
    return pytest.param(*values, marks=pytest.mark.slow)


class Killed(BaseException):
    """Like a signal: not an Exception."""


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), **VERSION_BASE):
        return hydra.compose("train", list(overrides))


def compose(*overrides: str) -> DictConfig:
    """Compose `conf/train.yaml` with overrides, once a process: that takes as long as ten steps."""
    return _composed(overrides).copy()


def start(*words: str, **environment: str) -> "subprocess.Popen[str]":
    """Start the training command in a process and a session of its own, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "resnet_lab.train", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def command_of(code: str) -> Callable[[Path], list[str]]:
    """Return what gives the command of a job: this code, with the job's directory."""
    return lambda place: [sys.executable, "-c", code, str(place)]


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Look again and again; the time is that of a very busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def rows(run: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def column(run: Path, name: str) -> list[float]:
    """Return the values of a column of metrics.csv, where it has one."""
    return [float(row[name]) for row in rows(run) if row.get(name)]


def record(directory: str = "sweep") -> dict:
    """Return sweep.json."""
    return json.loads(Path(directory, "sweep.json").read_text())


def runs_of(directory: str = "sweep") -> dict[str, Run]:
    """Return the runs of a sweep by the names of their directories."""
    return {
        path.name: Run.load(path)
        for path in Path(directory).iterdir()
        if (path / "config.yaml").exists()
    }


def result(run: Run) -> tuple[object, ...]:
    """Return the numbers that a run came to."""
    return run.status["test"], run.status["best"], run.status["metrics"]


def fits(run: Run) -> int:
    """Return how often training of this run began."""
    return (run.directory / "train.log").read_text().count("GPU available")


def trials(directory: str = "sweep") -> list[FrozenTrial]:
    """Return the trials of a search."""
    url = f"sqlite:///{directory}/{STORAGE}"
    return optuna.load_study(study_name="search", storage=url).get_trials()


def states(directory: str = "sweep") -> list[str]:
    """Return the states of the trials of a search."""
    return [trial.state.name for trial in trials(directory)]
