"""The jobs of a sweep on a SLURM cluster, by submitit and Hydra's launcher for it.

This process and the jobs share only the sweep's directory. A job that SLURM is about to stop (its
time is up, or it is preempted) saves a checkpoint, is queued again and resumes. This process only
waits, if at all: the jobs run on without it, and the same command waits for them again.
"""

import contextlib
import io
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from submitit.core.utils import FailedJobError

from resnet_lab.core.console import TRACEBACKS, set_up_logging
from resnet_lab.core.files import write_json
from resnet_lab.sweeps.job import Job, find_job
from resnet_lab.sweeps.launchers.runner import Stream
from resnet_lab.sweeps.launchers.slurm_commands import QUEUED, has_gpus, queue, told
from resnet_lab.sweeps.launchers.slurm_watch import Watch

log = logging.getLogger(__name__)

EXIT_DELAY = 10.0  # seconds for rank zero to save: SLURM ends a job with any of its processes

# Parameters that submitit has for every kind of cluster; the others get a prefix.
COMMON = (
    "name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node",
)  # fmt: skip


END = object()  # of a stream


@contextlib.contextmanager
def _told_how_to_end(watch: Watch) -> Iterator[None]:
    """On Ctrl-C, print what ends the jobs: they run on."""
    try:
        yield
    except KeyboardInterrupt:
        ids = [watch.ids[job.directory] for job in watch.jobs if job.directory in watch.ids]
        numbers = {each.partition("_")[0] for each in ids}
        end = f"scancel {' '.join(sorted(numbers))}"
        print(f"the jobs run on without this process; to end them: {end}", file=sys.stderr)
        raise


class Submission(SlurmLauncher):  # type: ignore[misc]  # it has no types
    """Jobs for SLURM: `launch` and `stream` submit them; each process of a job calls the object."""

    def __init__(self, wait: bool, **params: Any) -> None:
        super().__init__(**params)
        self._waits = wait

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run one job; this is on the cluster.

        SIGTERM and SIGUSR2 end it as Ctrl-C ends a run. If SLURM has only warned the job by them,
        it is queued again; after `scancel` or `scontrol requeue`, SLURM does as it was told.
        """
        set_up_logging()
        requeue: Any = signal.getsignal(signal.SIGUSR2)  # submitit's; it counts the time-outs
        warnings = (signal.SIGTERM, signal.SIGUSR2)
        for number in warnings:
            signal.signal(number, signal.default_int_handler)
        try:
            result: JobReturn = super().__call__(*arguments)
        except (KeyboardInterrupt, SystemExit):
            for number in warnings:
                signal.signal(number, signal.SIG_IGN)
            job = submitit.JobEnvironment()
            if job.global_rank > 0:
                time.sleep(EXIT_DELAY)
            elif told("squeue", "-h", "-j", job.job_id, "-o", "%T") == ["RUNNING"]:
                requeue(signal.SIGUSR2, None)
            raise
        if result.status is JobStatus.FAILED:
            raise SystemExit(1)  # for SLURM's records; ours know why
        return result

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs that are not in the queue already; return when all have ended.

        Without `wait`, return at once, and nothing.
        """
        assert self.config is not None
        jobs = [find_job(self.config, job) for job in job_overrides]
        watch = self._watch()
        self._enqueue(watch, jobs, initial_job_idx)
        if not self._waits:
            return []
        results: dict[str, JobReturn] = {}
        with _told_how_to_end(watch):
            while watch.jobs:
                results |= {job.directory: result for job, result in watch.look()}
        return [results[job.directory] for job in jobs]

    def stream(self, stream: Stream) -> list[JobReturn]:
        """Submit jobs as the stream gives them, one at a time; return when all have ended."""
        watch = self._watch()
        results: list[JobReturn] = []
        source, more = iter(stream.jobs), True
        with _told_how_to_end(watch):
            while more or watch.jobs:
                job = next(source, END) if more else None
                more = more and job is not END
                if isinstance(job, Job):
                    self._enqueue(watch, [job], len(results) + len(watch.jobs))
                    continue
                for each, result in watch.look() if watch.jobs else ():
                    results.append(result)
                    stream.ended(each, result)
        return results

    def _watch(self) -> Watch:
        assert self.config is not None
        return Watch(Path(self.config.hydra.sweep.dir), self.params["submitit_folder"])

    def _enqueue(self, watch: Watch, jobs: Sequence[Job], first: int) -> None:
        """Submit and watch jobs; those that are in the queue already are only watched."""
        waiting = queue()
        if waiting is None:
            raise ValueError(
                "hydra/launcher=slurm: squeue does not answer; is this a SLURM cluster?"
            )
        new = [job for job in jobs if watch.ids.get(job.directory) not in waiting]
        if len(new) < len(jobs):
            log.info("%d jobs are in the queue already", len(jobs) - len(new))
        watch.add(jobs)
        if new:
            ids = self._submit(new, first)
            watch.ids.update({job.directory: each for job, each in zip(new, ids, strict=True)})
            write_json(watch.directory / QUEUED, watch.ids)

    def _submit(self, jobs: Sequence[Job], first: int) -> list[str]:
        """Hand jobs to SLURM as one array, and return their ids."""
        parameters = dict(self.params)
        folder, tries = parameters.pop("submitit_folder"), parameters.pop("max_num_timeout")
        if parameters["gpus_per_node"] == "auto":
            parameters["gpus_per_node"] = self._gpus()
        for name in COMMON[1:]:
            value = parameters[name]
            if not (isinstance(value, int) or value is None):
                raise ValueError(f"hydra.launcher.{name}={value}: must be an integer, or null")
        lines = list(parameters.pop("setup") or ())
        if not TRACEBACKS:
            lines.append("unset HYDRA_FULL_ERROR")  # `train` sets it, and for itself alone
        options = ["--kill-on-bad-exit=1", *(parameters.pop("srun_args") or ())]
        if cores := parameters["cpus_per_task"]:
            lines.append(f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{cores}}}")
            options.append(f"--cpus-per-task={cores}")  # srun does not take over sbatch's
        prefixed = {
            name if name in COMMON else f"slurm_{name}": value for name, value in parameters.items()
        }
        executor = submitit.AutoExecutor(folder, "slurm", slurm_max_num_timeout=tries)
        executor.update_parameters(**prefixed, slurm_setup=lines, slurm_srun_args=options)
        count, state = len(jobs), Singleton.get_state()
        numbers = range(first, first + count)
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
                submitted = executor.map_array(
                    self,
                    [job.overrides for job in jobs],
                    ["hydra.sweep.dir"] * count,
                    numbers,
                    map(str, numbers),
                    [state] * count,
                )
        except FailedJobError as error:
            told = "; ".join(str(error).strip().splitlines())
            raise ValueError(f"hydra/launcher=slurm: {told}") from error
        ids = [str(job.job_id) for job in submitted]
        log.info("%d jobs are in the queue, as %s", count, ids[0].partition("_")[0])
        return ids

    def _gpus(self) -> int | None:
        """Return a GPU for each task, if the partition has any and the trainer may use them."""
        assert self.config is not None
        partition = self.params["partition"]
        present = has_gpus(None if partition is None else str(partition))
        tasks: int = self.params["tasks_per_node"]
        return tasks if present and self.config.trainer.accelerator != "cpu" else None
