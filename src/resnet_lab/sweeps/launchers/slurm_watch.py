"""Wait for the jobs of a sweep on a SLURM cluster, and report each that ends."""

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from submitit.core.utils import JobPaths

from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.job import Job, mark_failed, returned
from resnet_lab.sweeps.launchers.slurm_commands import queue, submitted
from resnet_lab.sweeps.record import best_value, change, load, read_status
from resnet_lab.sweeps.sweep import distinct

log = logging.getLogger(__name__)

POLL = 2.0  # seconds between two readings of the jobs' records
QUEUE_POLL = 10.0  # seconds between two readings of the queue
MISSES = 2  # readings without a job until it is gone: shared file systems show its last status late


class Watch:
    """Wait for jobs, and report how each ends."""

    def __init__(self, directory: Path, folder: str) -> None:
        self.directory = directory  # of the sweep
        self.folder = folder  # of submitit, with %j for the id
        self.ids = submitted(directory)  # in the queue, of all that were ever submitted
        self.jobs: list[Job] = []  # that have not ended
        self._names: dict[str, str] = {}
        self._updated: dict[str, str | None] = {}  # by an earlier try: its end is no news
        self._shown: dict[str, str] = {}  # states
        self._missed: Counter[str] = Counter()  # readings of the queue without the job
        self._next_reading = 0.0

    def add(self, jobs: Sequence[Job]) -> None:
        """Watch further jobs, which are in the sweep's record; before they are submitted."""
        record = load(self.directory)
        self._monitor = record.get("monitor")
        entries = record["jobs"]
        names = distinct([entry["overrides"] for entry in entries])
        self._names = {e["directory"]: name for e, name in zip(entries, names, strict=True)}
        self._updated |= {job.directory: self._status(job).get("updated") for job in jobs}
        self.jobs += jobs

    def look(self) -> list[tuple[Job, JobReturn]]:
        """Wait a moment, and return which jobs have ended, and how."""
        self._read_queue()  # before the states: a job records its state before it leaves
        ended = [(job, end) for job in self.jobs if (end := self._follow(job)) is not None]
        for job, _ in ended:
            self.jobs.remove(job)
            self._missed.pop(job.directory, None)
        if not ended:
            time.sleep(POLL)
        return ended

    def _read_queue(self) -> None:
        if time.monotonic() < self._next_reading:
            return
        self._next_reading = time.monotonic() + QUEUE_POLL
        waiting = queue()
        if waiting is not None:
            for job in self.jobs:
                present = self.ids[job.directory] in waiting
                self._missed[job.directory] = 0 if present else self._missed[job.directory] + 1

    def _status(self, job: Job) -> dict[str, Any]:
        return read_status(self.directory / job.directory) or {}

    def _follow(self, job: Job) -> JobReturn | None:
        """Show what is new of a job, and return its end; None: it has not ended."""
        status, name = self._status(job), job.directory
        state = str(status.get("state", "pending"))
        error, value = status.get("error"), best_value(status)
        if state not in OVER and status.get("updated") == self._updated[name]:
            state = "pending"
        gone = self._missed[name] >= MISSES
        if gone and state not in (*OVER, "failed", "interrupted"):
            state, error = "failed", self._mark_failed(job)
        before, self._shown[name] = self._shown.get(name, "pending"), state
        text = self._names.get(name, " ".join(job.overrides))
        if state in OVER:
            text += "" if value is None else f"  {self._monitor} {value:.4f}"
        if state not in (before, "failed"):
            log.info("%-11s  %s", state, text)
        if state in OVER:
            return returned(job, value)
        if state == "failed" or gone:
            print(f"error: job {text}: {error}", file=sys.stderr, flush=True)
            return returned(job, ValueError(error))
        return None

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
            with change(self.directory) as record:
                for entry in record["jobs"]:
                    if entry["directory"] == job.directory:
                        entry.update(state="failed", error=error)
        return error
