"""The jobs of a sweep: composed, checked before the first one starts, and handed to a launcher."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from resnet_lab.config import one_line
from resnet_lab.distributed import launched_together
from resnet_lab.harmless import harmless
from resnet_lab.run import OVER
from resnet_lab.sweep import Sweep, distinct

if TYPE_CHECKING:
    from resnet_lab.preflight import Estimate

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One job of a sweep, composed."""

    directory: str  # below the sweep's
    overrides: list[str]
    config: DictConfig  # with Hydra's own node


def compose(config: DictConfig, context: HydraContext, overrides: Sequence[str]) -> Job:
    """Compose one job of a sweep, and find its directory.

    Raises:
        ValueError: it does not compose; the job is named.
    """
    try:
        job = context.config_loader.load_sweep_config(config, list(overrides))
        outer = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(job)  # the directory is named after `hydra.overrides`
        try:
            directory = str(OmegaConf.select(job, "hydra.sweep.subdir"))
        finally:
            HydraConfig.instance().cfg = outer
    except Exception as error:
        raise ValueError(f"job {' '.join(overrides)}: {one_line(error)}") from error
    return Job(directory, list(overrides), job)


def task_config(job: Job) -> DictConfig:
    """Return the configuration of a job without Hydra's own node."""
    config = job.config.copy()
    with read_write(config), open_dict(config):
        config.pop("hydra")
    return config


def returned(job: Job, value: float | Exception | None) -> JobReturn:
    """Tell Hydra what a job that ran in another process came to."""
    failed = isinstance(value, Exception)
    result = JobReturn(
        overrides=job.overrides,
        cfg=task_config(job),
        status=JobStatus.FAILED if failed else JobStatus.COMPLETED,
    )
    result.return_value = value
    return result


def check(jobs: Sequence[Job]) -> "list[Estimate]":
    """Check every job before the first one starts; see `resnet_lab.preflight`.

    Raises:
        ValueError: of the first job that cannot run, naming it.
    """
    from resnet_lab.preflight import Preflight, check_disk

    launcher = str(jobs[0].config.hydra.launcher._target_)
    preflight = Preflight(elsewhere=launcher.endswith(".Slurm"))
    estimates = []
    names = distinct([job.overrides for job in jobs])
    for number, (job, name) in enumerate(zip(jobs, names, strict=True), 1):
        try:
            estimates.append(preflight.check(task_config(job)))
        except Exception as error:
            which = f"job {number} of {len(jobs)} ({name})"
            raise ValueError(f"{which}: {one_line(error)}; nothing was started") from error
    needed = sum(estimate.checkpoints for estimate in estimates)
    check_disk(jobs[0].config.sweep_dir or jobs[0].config.log_dir, needed)
    return estimates


def fix_directory(config: DictConfig) -> Path:
    """Settle where the sweep goes, for every job and every process that composes it again."""
    if launched_together():
        raise ValueError(
            "a sweep starts the processes of its jobs itself: leave torchrun or srun out, and use "
            "trainer=ddp trainer.devices=..."
        )
    directory = Path(str(config.hydra.sweep.dir)).resolve()
    quoted = str(directory).replace("\\", "\\\\").replace("'", "\\'")
    with read_write(config), open_dict(config):
        config.hydra.sweep.dir = str(directory)
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
    return directory


def run_jobs(
    config: DictConfig,
    context: HydraContext,
    launcher: Launcher,
    overrides: Sequence[Sequence[str]],
) -> list[JobReturn]:
    """Check all jobs of a sweep, then run those that are not done yet.

    Args:
        config: what the jobs have in common, with Hydra's own node.
        context: of Hydra.
        launcher: that runs them.
        overrides: of each job.

    Raises:
        ValueError: a job cannot run, or some failed.
    """
    composed = [compose(config, context, job) for job in overrides]
    jobs = list({job.directory: job for job in composed}.values())  # the same twice is one job
    estimates = check(jobs)
    if config.preflight:
        from resnet_lab.preflight import show_table

        show_table(jobs, estimates)
        return []
    with Sweep.open(fix_directory(config), config) as sweep:
        sweep.add((job.directory, job.overrides) for job in jobs)
        states = sweep.states()
        due = [job for job in jobs if states[job.directory] not in OVER]
        if len(due) < len(jobs):
            log.info("%d of %d jobs are done already", len(jobs) - len(due), len(jobs))
        returns = launcher.launch([job.overrides for job in due], 0) if due else []
    return finish(sweep, returns)


def finish(sweep: Sweep, returns: Sequence[JobReturn]) -> list[JobReturn]:
    """Report on a sweep that ran to its end.

    Raises:
        ValueError: some jobs failed.
    """
    from resnet_lab.report import report, show_report

    with harmless("the report of the sweep"):
        show_report(report([sweep.directory]))
    failed = sum(job.status is JobStatus.FAILED for job in returns)
    if failed:
        again = f"the same command with sweep_dir={shlex.quote(str(sweep.shown))} tries them again"
        raise ValueError(f"{failed} of {len(sweep.states())} jobs failed; {again}")
    return list(returns)
