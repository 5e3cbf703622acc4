"""What a launcher is given at once where failures are limited; stand-ins for SLURM and the pool."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from resnet_lab.sweeps.launch import _parts, run_jobs

JOBS: Any = ["a", "b", "c"]


def parts(launcher: SimpleNamespace, limit: int | None) -> list[tuple[Sequence[Any], int]]:
    given: Any = launcher
    return list(_parts(JOBS, given, limit, 4))


def test_a_launcher_of_arrays_gets_one_job_after_the_other() -> None:
    assert parts(SimpleNamespace(), 2) == [(["a"], 4), (["b"], 5), (["c"], 6)]


@pytest.mark.parametrize(
    ("launcher", "limit"), [(SimpleNamespace(), None), (SimpleNamespace(max_failures=2), 2)]
)
def test_all_jobs_are_given_at_once_without_a_limit_or_to_a_launcher_that_counts(
    launcher: SimpleNamespace, limit: int | None
) -> None:
    assert parts(launcher, limit) == [(JOBS, 4)]


def test_a_limit_needs_a_launcher_that_waits_which_is_said_before_any_job_is_checked() -> None:
    hydra = {"overrides": {"hydra": []}, "sweeper": {"max_failures": 2}}
    config = OmegaConf.create({"run_dir": None, "hydra": hydra})
    leaving: Any = SimpleNamespace(waits=False)
    unused: Any = None
    with pytest.raises(ValueError, match=r"max_failures=2 needs hydra\.launcher\.wait=true"):
        run_jobs(config, unused, leaving, [["seed=0"], ["seed=1"]])
