"""What several tests read out of runs and sweeps."""

import csv
import json
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from resnet_lab.data.facts import Facts
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.searching.study import STORAGE

FACTS = Facts(name="set", classes=list("abcdef"), channels=3, image_size=8, mean=[0.5], std=[0.5])
# Our networks, by their options; one of the user's need not keep to what tests ask of these.
NETWORKS = (
    "norm_free_resnet", "preact_resnet164", "preact_resnet18", "resnet18", "resnet20", "resnet9",
    "resnext50", "small_resnet", "uniform_resnet", "wide_resnet50", "whitened_resnet", "wrn",
)  # fmt: skip
LR = "optimizer.lr=tag(log,interval(1e-3,1))"


class Killed(BaseException):
    """Like a signal: not an Exception."""


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
