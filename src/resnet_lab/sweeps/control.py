"""A sweep seen from outside: how far its jobs are, and how to end what runs.

It works from any shell, with any launcher. The run directories say how far the jobs are, their
locks and SLURM's queue say what still runs.
"""

import logging
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from resnet_lab.reporting.reading import in_use, read_results
from resnet_lab.reporting.run_record import RunRecord
from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.launchers.slurm_commands import QUEUED, queue, submitted
from resnet_lab.sweeps.record import SUBMITTED, SWEEPING, change, current, load, outcome
from resnet_lab.sweeps.sweep import distinct

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two looks at SLURM's queue


class Status(NamedTuple):
    """The state of a sweep, and each job with its name and state.

    Beside the states of a run there are `queued`, which is in SLURM's queue, and `stale`, whose
    process or place in the queue is gone although it has recorded no end.
    """

    state: str
    jobs: list[tuple[str, str, RunRecord]]


def status(directory: Path) -> Status:
    """Read how far a sweep is; nothing is changed."""
    results = read_results([directory])
    ids = submitted(directory)
    waiting = queue() if ids else None
    names = distinct([job.status.get("overrides") or [job.directory.name] for job in results.jobs])
    jobs = []
    for name, job in zip(names, results.jobs, strict=True):
        number = ids.get(job.directory.name)
        queued = None if waiting is None or number is None else number in waiting
        jobs.append((name, _state(job, queued), job))
    record = load(directory)
    state = str(record.get("state"))
    if state == SUBMITTED:  # no process waits for its end
        state = outcome(record, [each for _, each, _ in jobs]) or SUBMITTED
    if state == "running" and not in_use(directory / SWEEPING):
        state = "stale: the process that ran it is gone"
    return Status(state, jobs)


def _state(job: RunRecord, queued: bool | None) -> str:
    """Return the state of a job; `queued` is whether SLURM has it, None for what it never had."""
    running = job.status.get("state") == "running"
    if queued and job.state not in OVER:  # one that failed is about to begin again
        return "running" if running else "queued"
    lost = running and job.state == "interrupted"  # no process holds its directory
    if lost or (queued is False and job.state in ("running", "pending")):
        return "stale"
    return job.state


def cancel(directory: Path) -> None:
    """End what runs of a sweep, so that it can be resumed, and return when it has ended.

    Running jobs save a checkpoint first. Raises a ValueError if the process that runs it is on
    another machine, or SLURM does not answer.
    """
    record, ids = load(directory), submitted(directory)
    waiting = queue() if ids else set()
    if waiting is None:
        raise ValueError(f"{directory}: its jobs are SLURM's, and squeue does not answer here")
    ours = waiting.intersection(ids.values())
    lock = FileLock(directory / SWEEPING)
    if in_use(directory / SWEEPING):
        host, pid = record.get("host"), record.get("pid")
        if host == socket.gethostname() and type(pid) is int and pid > 1:
            log.info("stopping: each job saves after its step")
            os.kill(pid, signal.SIGTERM)
            lock.acquire()  # it has ended
        elif not ours:
            raise ValueError(f"{directory} is run by process {pid} on {host}: kill it there")
    try:
        if ours:
            _scancel(ours)
            (directory / QUEUED).unlink()
        end = outcome(current(directory)) or "interrupted"
        with change(directory) as record:
            record["state"] = end
    finally:
        lock.release()


def _scancel(numbers: set[str]) -> None:
    """Have SLURM end jobs, and wait until they have left its queue."""
    log.info("SLURM ends %d jobs: each saves after its step", len(numbers))
    subprocess.run(["scancel", *sorted(numbers)], check=False)  # one may just have ended
    while (waiting := queue()) is None or numbers & waiting:
        time.sleep(POLL)


def command_again(directory: Path, overrides: Sequence[str]) -> list[str]:
    """Return the arguments of `train` that run a sweep again, with further overrides."""
    command = shlex.split(str(load(directory).get("command", "")))
    if command[:3] != ["python", "-m", "resnet_lab.train"]:
        raise ValueError(f"{directory}: sweep.json records no command to run again")
    return [*command[3:], *overrides, f"sweep_dir={directory}"]
