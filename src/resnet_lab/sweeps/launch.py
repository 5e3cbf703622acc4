"""Check the jobs of a sweep, run them by a launcher, and report on them."""

import logging
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from resnet_lab.core.errors import one_line
from resnet_lab.core.harmless import harmless
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.core.processes import launched_together
from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.composing import Composer
from resnet_lab.sweeps.job import Job, find_jobs, returned
from resnet_lab.sweeps.record import read_status
from resnet_lab.sweeps.sweep import Sweep, distinct

if TYPE_CHECKING:
    from resnet_lab.sweeps.estimate import Estimate

log = logging.getLogger(__name__)

PROGRESS = 5.0  # seconds between two lines about the progress of a long check


def check(config: DictConfig, context: HydraContext, jobs: Sequence[Job]) -> "list[Estimate]":
    """Check every job before the first one starts; raise the error of one that cannot run."""
    compose = Composer(config, context)
    estimates: list[Estimate] = []
    launcher = str(config.hydra.launcher._target_)
    far = launcher.endswith(".Slurm") or config.hydra.launcher.get("address") is not None
    names = distinct([job.overrides for job in jobs])
    told = time.monotonic()
    with reduced_overhead(config):
        from resnet_lab.sweeps.preflight import Preflight, check_disk  # imports torch

        preflight = Preflight(elsewhere=far)
        for number, (job, name) in enumerate(zip(jobs, names, strict=True), 1):
            try:
                estimates.append(preflight.check(compose(job.overrides)))
            except Exception as error:
                which = f"job {number} of {len(jobs)} ({name})"
                raise ValueError(f"{which}: {one_line(error)}; nothing was started") from error
            if time.monotonic() > told + PROGRESS:
                told = time.monotonic()
                log.info("%d of %d jobs are checked", number, len(jobs))
        needed = sum(estimate.checkpoints for estimate in estimates)
        check_disk(config.sweep_dir or config.log_dir, needed)
    return estimates


def fix_directory(config: DictConfig) -> Path:
    """Fix the directory of the sweep for every job and for processes that compose it again."""
    directory = Path(str(config.hydra.sweep.dir)).resolve()
    quoted = str(directory).replace("\\", "\\\\").replace("'", "\\'")
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = str(directory)
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
    return directory


def refuse_misuse(config: DictConfig) -> None:
    """Raise a ValueError for options that are not for a sweep."""
    given = [item for item in config.hydra.overrides.hydra if "sweep.subdir" in item]
    if given:
        raise ValueError(
            f"{given[0]}: a job's directory is named after its overrides; leave it out"
        )
    if config.run_dir is not None:
        raise ValueError(
            f"run_dir={config.run_dir} is not for a sweep: name its directory by sweep_dir"
        )
    if launched_together():
        raise ValueError(
            "a sweep starts the processes of its jobs itself: leave torchrun or srun out, and use "
            "trainer=ddp trainer.devices=..."
        )


def run_jobs(
    config: DictConfig,
    context: HydraContext,
    launcher: Launcher,
    overrides: Iterable[Sequence[str]],
) -> list[JobReturn]:
    """Check the jobs of a sweep that are not done yet, then run them.

    They have `config` in common, with Hydra's own node. Raises a ValueError if a job cannot run, or
    some failed.
    """
    refuse_misuse(config)
    limit = OmegaConf.select(config, "hydra.sweeper.max_failures")
    waits = getattr(launcher, "waits", True)
    if limit is not None and not waits:
        raise ValueError(f"hydra.sweeper.max_failures={limit} needs hydra.launcher.wait=true")
    jobs = due = find_jobs(config, overrides)
    if config.sweep_dir is not None:
        statuses = [read_status(Path(config.sweep_dir, job.directory)) or {} for job in jobs]
        ended = [status.get("state") in OVER for status in statuses]
        due = [job for job, over in zip(jobs, ended, strict=True) if not over]
    if len(due) < len(jobs):
        log.info("%d of %d jobs are done already", len(jobs) - len(due), len(jobs))
    estimates = check(config, context, due) if due else []
    if config.preflight:
        from resnet_lab.sweeps.preflight import show_table

        show_table(due, estimates)
        return []
    with Sweep.open(fix_directory(config), config) as sweep:
        sweep.add(jobs)
        sweep.left = not waits
        returns = launch(sweep, launcher, due, limit)
    if sweep.left:
        where = shlex.quote(str(sweep.shown))
        log.info("the jobs run without this process: resnet-sweep status %s", where)
        return list(returns)
    return finish(sweep, returns)


def launch(
    sweep: Sweep, launcher: Launcher, jobs: Sequence[Job], limit: int | None = None
) -> Sequence[JobReturn]:
    """Run jobs of a sweep, and record failures; a job with a damaged record is not run.

    No further job is started once as many as `limit` have failed. A launcher that knows no limit is
    then given one job after the other.
    """
    errors: dict[str, str] = {}
    returns = []
    for job in jobs:
        if (error := damage(sweep, job)) is not None:
            errors[job.directory] = error
            returns.append(returned(job, ValueError(error)))
    sound = [job for job in jobs if job.directory not in errors]
    at_once = limit is None or hasattr(launcher, "max_failures")
    size = len(sound) if at_once else 1
    for number in range(0, len(sound), size or 1):
        if limit is not None and sum(r.status is JobStatus.FAILED for r in returns) >= limit:
            break
        part = sound[number : number + size]
        results = launcher.launch([job.overrides for job in part], number)
        for job, result in zip(part, results, strict=False):  # a pool may end before the last
            if result.status is JobStatus.FAILED and isinstance(result._return_value, Exception):
                errors[job.directory] = one_line(result._return_value)
        returns += results
    sweep.mark_failed(errors)
    return returns


def damage(sweep: Sweep, job: Job) -> str | None:
    """Return, and print, what is wrong with the record of a job; None: it can be run."""
    status = read_status(sweep.directory / job.directory) or {}
    if not status.get("damaged"):
        return None
    error = str(status["error"])
    print(f"error: job {job.directory}: {error}", file=sys.stderr, flush=True)
    return error


def finish(sweep: Sweep, returns: Sequence[JobReturn]) -> list[JobReturn]:
    """Report on a sweep that ran to its end; raise a ValueError if some jobs failed."""
    from resnet_lab.reporting.report import report, show_files, show_report, write_report

    again = f"python -m resnet_lab.report {shlex.quote(str(sweep.shown))}"
    with harmless(f"the report of the sweep (again: {again})"):
        found = report([sweep.directory], write=False)
        show_report(found)
        show_files(write_report(found))
    failed = sum(job.status is JobStatus.FAILED for job in returns)
    if failed:
        again = f"the same command with sweep_dir={shlex.quote(str(sweep.shown))} tries them again"
        states = list(sweep.states().values())
        left = states.count("pending")
        untried = f" and {left} were not started (hydra.sweeper.max_failures)" if left else ""
        raise ValueError(f"{failed} of {len(states)} jobs failed{untried}; {again}")
    return list(returns)
