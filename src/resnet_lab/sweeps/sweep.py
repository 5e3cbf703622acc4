"""A sweep directory: many runs, and one record of them.

`sweep.json` lists the jobs; how far each is says its run directory, with any launcher and on any
machine.
"""

import contextlib
import functools
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from resnet_lab.core.directions import monitor_mode
from resnet_lab.core.files import shown
from resnet_lab.core.processes import terminated_like_interrupted
from resnet_lab.core.provenance import now
from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.record import (
    FILE,
    SUBMITTED,
    SWEEPING,
    change,
    load,
    new_entry,
    outcome,
    refresh,
)

log = logging.getLogger(__name__)


class Sweep:
    """A sweep directory that jobs are being run in.

    As a context manager it holds the directory for this process and records how the sweep ended.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory  # absolute
        self.left = False  # whether the jobs run on without this process
        self._lock = FileLock(directory / SWEEPING)
        self._signals = contextlib.ExitStack()
        self._began = time.monotonic()
        self._jobs: dict[str, Sequence[str]] = {}  # overrides by directory

    @classmethod
    def open(cls, directory: str | Path, config: DictConfig) -> "Sweep":
        """Begin a sweep in a directory, or resume the one that is there.

        Raises a ValueError if the directory is something else, or another process sweeps there.
        """
        path = Path(directory).resolve()
        path.mkdir(parents=True, exist_ok=True)
        if not (path / FILE).exists():
            others = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
            if others and not any((entry / "config.yaml").exists() for entry in others):
                raise ValueError(
                    f"{directory} is no sweep directory, and not empty ({others[0].name} is "
                    "there): name another sweep_dir"
                )
        sweep = cls(path)
        try:
            sweep._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{directory} is in use: another process sweeps there; wait, or leave sweep_dir out"
            ) from None
        command = f"python -m resnet_lab.train {shlex.join(sys.argv[1:])}"

        with change(path) as record:
            first = {"name": str(config.name), "started": now(), "seconds": 0.0, "jobs": []}
            for key, value in first.items():
                record.setdefault(key, value)
            record.update(
                command=command, state="running",
                monitor=str(config.monitor), mode=monitor_mode(config, trust=True),
                host=socket.gethostname(), pid=os.getpid(),
            )  # fmt: skip
        return sweep

    @property
    def shown(self) -> Path:
        return shown(self.directory)

    def add(self, jobs: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Add jobs to the record, each a directory below this one and its overrides."""
        added = dict(jobs)
        for name in added:
            if (self.directory / name).is_symlink():
                raise ValueError(
                    f"{self.shown / name} is a link: a job lies in its sweep's directory"
                )
        self._jobs |= added

        with change(self.directory) as record:
            for entry in self._refreshed(record, added):
                if entry["state"] not in OVER:
                    entry.update(state="pending", error=None)

    def states(self) -> dict[str, str]:
        record = load(self.directory)
        return {each["directory"]: each["state"] for each in self._refreshed(record)}

    def mark_failed(self, errors: dict[str, str]) -> None:
        """Record as failed the jobs, by directory, that have not recorded that themselves."""
        if not errors:
            return
        with change(self.directory) as record:
            for entry in self._refreshed(record, errors):
                if entry["state"] not in (*OVER, "failed"):
                    entry.update(state="failed", error=errors[entry["directory"]])

    def _refreshed(
        self, record: dict[str, Any], names: Container[str] | None = None
    ) -> list[dict[str, Any]]:
        """Add the jobs that a record lacks; return the entries of some, or all, as they are now."""
        known = {entry["directory"] for entry in record["jobs"]}
        record["jobs"] += [new_entry(*job) for job in self._jobs.items() if job[0] not in known]
        chosen = [each for each in record["jobs"] if names is None or each["directory"] in names]
        for entry in chosen:
            refresh(self.directory, entry)
        return chosen

    def __enter__(self) -> "Sweep":
        self._signals.enter_context(terminated_like_interrupted())
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        stopped = error is not None and not isinstance(error, Exception)
        with change(self.directory) as record:
            self._refreshed(record)
            otherwise = SUBMITTED if self.left and not stopped else "interrupted"
            record["state"] = "interrupted" if stopped else outcome(record) or otherwise
            seconds = record.get("seconds", 0.0) + time.monotonic() - self._began
            record["seconds"] = round(seconds, 3)
        self._signals.close()
        self._lock.release()
        if stopped:
            again = f"the same command with sweep_dir={shlex.quote(str(self.shown))}"
            print(f"interrupted; to resume: {again}", file=sys.stderr)


def announce(directory: Path) -> None:
    """Print which job of its sweep begins."""
    path = directory.parent / FILE
    changed = path.stat().st_mtime_ns if path.exists() else 0
    if told := _titles(directory.parent, changed).get(directory.name):
        log.info("\n%s", told)


@functools.lru_cache(maxsize=1)
def _titles(directory: Path, changed: int) -> dict[str, str]:
    """Name the jobs of a sweep by number and overrides; `changed` is the time of its record."""
    record = load(directory)
    jobs = record["jobs"]
    total = record.get("trials", len(jobs))  # a search enters its jobs as it goes
    names = distinct([entry["overrides"] for entry in jobs])
    return {
        entry["directory"]: f"job {number} of {total}: {name}"
        for number, (entry, name) in enumerate(zip(jobs, names, strict=True), 1)
    }


def distinct(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Name each job by those of its overrides that not all jobs have."""
    shared = set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else set()
    return [" ".join(item for item in job if item not in shared) or "default" for job in jobs]
