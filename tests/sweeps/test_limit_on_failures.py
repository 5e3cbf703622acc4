"""What a launcher is given at once where failures are limited; stand-ins for SLURM and the pool."""

from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from resnet_lab.sweeps.job import Job
from resnet_lab.sweeps.launch import launch, run_jobs
from resnet_lab.sweeps.sweep import Sweep

JOBS = [Job(name, [f"seed={name}"]) for name in "abc"]


class Failing:
    """A launcher whose jobs fail."""

    def __init__(self, **limits: int) -> None:
        self.given: list[tuple[list[str], int]] = []
        self.__dict__ |= limits

    def launch(self, overrides: list[list[str]], first: int) -> list[JobReturn]:
        self.given.append((["".join(each) for each in overrides], first))
        return [JobReturn(status=JobStatus.FAILED) for _ in overrides]


def given(launcher: Any, limit: int | None) -> list[tuple[list[str], int]]:
    with Sweep.open("sweep", OmegaConf.create({"name": "x", "monitor": "val/acc"})) as sweep:
        sweep.add(JOBS)
        launch(sweep, launcher, JOBS, limit)
    return launcher.given


def test_a_launcher_of_arrays_gets_one_job_after_the_other_up_to_the_limit() -> None:
    assert given(Failing(), 2) == [(["seed=a"], 0), (["seed=b"], 1)]


@pytest.mark.parametrize(
    ("launcher", "limit"), [(Failing(), None), (Failing(max_failures=2), 2)], ids=["none", "own"]
)
def test_all_jobs_are_given_at_once_without_a_limit_or_to_a_launcher_that_counts(
    launcher: Failing, limit: int | None
) -> None:
    assert given(launcher, limit) == [(["seed=a", "seed=b", "seed=c"], 0)]


def test_a_limit_needs_a_launcher_that_waits_which_is_said_before_any_job_is_checked() -> None:
    hydra = {"overrides": {"hydra": []}, "sweeper": {"max_failures": 2}}
    config = OmegaConf.create({"run_dir": None, "hydra": hydra})
    leaving: Any = SimpleNamespace(waits=False)
    unused: Any = None
    with pytest.raises(ValueError, match=r"max_failures=2 needs hydra\.launcher\.wait=true"):
        run_jobs(config, unused, leaving, [["seed=0"], ["seed=1"]])
