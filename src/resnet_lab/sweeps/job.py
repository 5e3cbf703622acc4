"""One job of a sweep: its overrides, and the directory that they name."""

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from resnet_lab.core.config import override_key
from resnet_lab.sweeps.job_directory import job_dir, result_overrides

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One job of a sweep."""

    directory: str  # below the sweep's
    overrides: list[str]


def find_job(config: DictConfig, overrides: Sequence[str]) -> Job:
    """Find the directory of a job, from its overrides alone."""
    return Job(job_dir(overrides, config.sweep_dir), list(overrides))


def find_jobs(config: DictConfig, overrides: Iterable[Sequence[str]]) -> list[Job]:
    """Find the directory of each job; jobs with the same result are one, and that is said.

    Args:
        config: what the jobs have in common.
        overrides: of each job.
    """
    given = [find_job(config, each) for each in overrides]
    jobs: dict[str, Job] = {}
    differ: set[str] = set()  # keys by which jobs of one result differ
    for job in given:
        first = jobs.setdefault(job.directory, job)
        assert result_overrides(first.overrides) == result_overrides(job.overrides)
        differ |= set(map(override_key, set(first.overrides) ^ set(job.overrides)))
    if len(jobs) < len(given):
        keys = " and ".join(sorted(differ))
        why = f"differ only in {keys}, which no result depends on" if differ else "are the same"
        log.warning("%d of %d jobs are run: the others %s", len(jobs), len(given), why)
    return list(jobs.values())


def returned(job: Job, value: float | Exception | None) -> JobReturn:
    """Tell Hydra what a job that ran in another process came to."""
    failed = isinstance(value, Exception)
    result = JobReturn(
        overrides=job.overrides, status=JobStatus.FAILED if failed else JobStatus.COMPLETED
    )
    result.return_value = value
    return result
