"""The jobs of a sweep on a SLURM cluster, by submitit and Hydra's launcher for it.

This process and the jobs share the sweep's directory, and nothing else. A job that SLURM is about
to stop, because its time is up or another job needs its place, saves, is queued again and goes on.
This process only waits: the jobs do without it, and the same command comes back to them.
"""

import contextlib
import io
import json
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from submitit.core.utils import FailedJobError, JobPaths

from resnet_lab.core.console import TRACEBACKS, set_up_logging
from resnet_lab.core.files import write_json
from resnet_lab.runs.run import OVER
from resnet_lab.sweeps.job import Job, find_job, mark_failed, returned
from resnet_lab.sweeps.record import change, load, new_entry, read_status
from resnet_lab.sweeps.slurm_commands import has_gpus, queue, told
from resnet_lab.sweeps.sweep import distinct, note

log = logging.getLogger(__name__)

POLL = 2.0  # seconds between two looks at sweep.json
LOOK = 10.0  # seconds between two looks at the queue
LOOKS = 2  # without a job, one after the other: shared file systems show its last words late
FAREWELL = 10.0  # seconds for the first process of a job; the end of another one ends it too
QUEUED = "queued.json"  # in submitit's folder: the ids that SLURM gave, by directory of the job

# Parameters that submitit has for every kind of cluster; the others get a prefix.
COMMON = (
    "name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node",
)  # fmt: skip


class Submission(SlurmLauncher):  # type: ignore[misc]  # it has no types
    """Jobs for SLURM: `launch` submits them and waits; each process of a job calls the object.

    Args:
        **params: of submitit; `conf/hydra/launcher/slurm.yaml` lists them.
    """

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run one job; this is on the cluster.

        SIGTERM and SIGUSR2 end it as Ctrl-C ends a run. If SLURM has only warned the job by them,
        it is queued again; after `scancel` or `scontrol requeue`, SLURM does as it was told.

        Args:
            *arguments: of Hydra's launcher.
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
                time.sleep(FAREWELL)
            elif told("squeue", "-h", "-j", job.job_id, "-o", "%T") == ["RUNNING"]:
                requeue(signal.SIGUSR2, None)
            raise
        if result.status is JobStatus.FAILED:
            raise SystemExit(1)  # for SLURM's records; ours know why
        return result

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs that are not in the queue already, and return when all have ended.

        Raises:
            ValueError: there is no SLURM here, or it takes no such jobs.
        """
        assert self.config is not None
        waiting = queue()
        if waiting is None:
            raise ValueError(
                "hydra/launcher=slurm: squeue does not answer; is this a SLURM cluster?"
            )
        jobs = [find_job(self.config, job) for job in job_overrides]
        directory = Path(self.config.hydra.sweep.dir)
        record = directory / ".submitit" / QUEUED
        known: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
        new = [job for job in jobs if known.get(job.directory) not in waiting]
        if earlier := [directory / job.directory for job in jobs if job not in new]:
            log.info("%d jobs are in the queue already", len(earlier))
            for path in earlier:  # what the sweep's beginning took for jobs of the past
                if (status := read_status(path)) is not None:
                    note(path, status)
        if new:
            ids = self._submit(new, initial_job_idx)
            known.update({job.directory: number for job, number in zip(new, ids, strict=True)})
            write_json(record, known)
        watch = Watch(directory, jobs, known, self.params["submitit_folder"])
        try:
            return watch.wait()
        except KeyboardInterrupt:
            numbers = {known[job.directory].partition("_")[0] for job in jobs}
            end = f"scancel {' '.join(sorted(numbers))}"
            print(f"the jobs go on without this process; to end them: {end}", file=sys.stderr)
            raise

    def _submit(self, jobs: Sequence[Job], first: int) -> list[str]:
        """Hand jobs to SLURM as one array, and return their ids."""
        parameters = dict(self.params)
        folder, tries = parameters.pop("submitit_folder"), parameters.pop("max_num_timeout")
        if parameters["gpus_per_node"] == "auto":
            parameters["gpus_per_node"] = self._gpus()
        for name in COMMON[1:]:
            value = parameters[name]
            if not (isinstance(value, int) or value is None):
                raise ValueError(f"hydra.launcher.{name}={value}: needs a whole number, or null")
        lines = list(parameters.pop("setup") or ())
        if not TRACEBACKS:
            lines.append("unset HYDRA_FULL_ERROR")  # `train` sets it, and for itself alone
        options = ["--kill-on-bad-exit=1"]
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


class Watch:
    """Wait for jobs, and tell what becomes of each.

    Args:
        directory: of the sweep.
        jobs: to wait for.
        ids: in the queue, by directory of the job.
        folder: of submitit, with %j for the id.
    """

    def __init__(
        self, directory: Path, jobs: Sequence[Job], ids: Mapping[str, str], folder: str
    ) -> None:
        self.directory = directory
        self.jobs = jobs
        self.ids = ids
        self.folder = folder
        record = load(directory)
        self.monitor = record.get("monitor")
        entries = record["jobs"]
        names = distinct([entry["overrides"] for entry in entries])
        self._names = {e["directory"]: name for e, name in zip(entries, names, strict=True)}
        self._shown: dict[int, str] = {}  # states, by number of the job
        self._results: dict[int, JobReturn] = {}
        self._missed: Counter[int] = Counter()  # looks at the queue without the job
        self._next_look = 0.0

    def wait(self) -> list[JobReturn]:
        """Return when every job has ended."""
        while True:
            self._look()  # before the states are read: what has left the queue has told all
            entries = {entry["directory"]: entry for entry in load(self.directory)["jobs"]}
            for number, job in enumerate(self.jobs):
                if number not in self._results:
                    entry = entries.get(job.directory, new_entry(job.directory, job.overrides))
                    self._follow(number, job, entry)
            if len(self._results) == len(self.jobs):
                return [self._results[number] for number in range(len(self.jobs))]
            time.sleep(POLL)

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK
        waiting = queue()
        if waiting is not None:
            for number, job in enumerate(self.jobs):
                there = self.ids[job.directory] in waiting
                self._missed[number] = 0 if there else self._missed[number] + 1

    def _follow(self, number: int, job: Job, entry: Mapping[str, Any]) -> None:
        state, error, value = entry["state"], entry["error"], entry["metric"]
        gone = self._missed[number] >= LOOKS
        if gone and state not in (*OVER, "failed", "interrupted"):
            state, error = "failed", self._mark_failed(job)
        told = self._names.get(job.directory, " ".join(job.overrides))
        if state in OVER:
            self._results[number] = returned(job, value)
            told += "" if value is None else f"  {self.monitor} {value:.4f}"
        elif state == "failed" or gone:
            self._results[number] = returned(job, ValueError(error))
            print(f"error: job {told}: {error}", file=sys.stderr, flush=True)
        if state not in (self._shown.get(number, "pending"), "failed"):
            log.info("%-11s  %s", state, told)
        self._shown[number] = state

    def _mark_failed(self, job: Job) -> str:
        """Record the failure of a job that has left the queue and could not do so itself."""
        number, run = self.ids[job.directory], self.directory / job.directory
        path = JobPaths(self.folder, number, 0).stderr
        printed = path.read_text(errors="replace").splitlines() if path.exists() else []
        errors = [line for line in printed if "error: " in line]
        error = ": ".join([f"SLURM's job {number} ended", *errors[-1:]])
        if (run / "config.yaml").exists():
            with contextlib.suppress(ValueError):  # another process trains there
                mark_failed(run, error)
        else:

            def fail(record: dict[str, Any]) -> None:
                for entry in record["jobs"]:
                    if entry["directory"] == job.directory:
                        entry.update(state="failed", error=error)

            change(self.directory, fail)
        return error
