"""Wait for the jobs of a sweep on a SLURM cluster, and report each that ends."""

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from submitit.core.utils import JobPaths

from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.job import Job, mark_failed, returned
from resnet_lab.sweeps.launchers.slurm_commands import queue
from resnet_lab.sweeps.record import best_value, change, load, read_status
from resnet_lab.sweeps.sweep import distinct

log = logging.getLogger(__name__)

POLL = 2.0  # seconds between two readings of the jobs' records
QUEUE_POLL = 10.0  # seconds between two readings of the queue
MISSES = 2  # readings without a job until it is gone: shared file systems show its last status late


class Watch:
    """Wait for jobs, and report how each ends; made before they are submitted.

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
        # Of an earlier try: how that ended is no news.
        self._updated = [self._status(job).get("updated") for job in jobs]
        self._shown: dict[int, str] = {}  # states, by number of the job
        self._results: dict[int, JobReturn] = {}
        self._missed: Counter[int] = Counter()  # readings of the queue without the job
        self._next_reading = 0.0

    def wait(self) -> list[JobReturn]:
        """Return when every job has ended."""
        while True:
            self._read_queue()  # before the states: a job records its state before it leaves
            for number, job in enumerate(self.jobs):
                if number not in self._results:
                    self._follow(number, job, self._status(job))
            if len(self._results) == len(self.jobs):
                return [self._results[number] for number in range(len(self.jobs))]
            time.sleep(POLL)

    def _read_queue(self) -> None:
        if time.monotonic() < self._next_reading:
            return
        self._next_reading = time.monotonic() + QUEUE_POLL
        waiting = queue()
        if waiting is not None:
            for number, job in enumerate(self.jobs):
                present = self.ids[job.directory] in waiting
                self._missed[number] = 0 if present else self._missed[number] + 1

    def _status(self, job: Job) -> dict[str, Any]:
        return read_status(self.directory / job.directory) or {}

    def _follow(self, number: int, job: Job, status: dict[str, Any]) -> None:
        state = str(status.get("state", "pending"))
        error, value = status.get("error"), best_value(status)
        if state not in OVER and status.get("updated") == self._updated[number]:
            state = "pending"
        gone = self._missed[number] >= MISSES
        if gone and state not in (*OVER, "failed", "interrupted"):
            state, error = "failed", self._mark_failed(job)
        text = self._names.get(job.directory, " ".join(job.overrides))
        if state in OVER:
            self._results[number] = returned(job, value)
            text += "" if value is None else f"  {self.monitor} {value:.4f}"
        elif state == "failed" or gone:
            self._results[number] = returned(job, ValueError(error))
            print(f"error: job {text}: {error}", file=sys.stderr, flush=True)
        if state not in (self._shown.get(number, "pending"), "failed"):
            log.info("%-11s  %s", state, text)
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
