"""Run jobs, several at once, each in a fresh process that resumes the job's run directory.

What a pool on this machine and a Ray cluster share: which job starts when, what is shown of it, and
how its end is recorded.
"""

import contextlib
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from rich.live import Live
from rich.text import Text

from resnet_lab.core.configuration.config import is_finite_number
from resnet_lab.core.console import console
from resnet_lab.core.errors import one_line
from resnet_lab.core.processes import terminated_like_interrupted
from resnet_lab.runs.trained.run import OVER
from resnet_lab.sweeps.composing import Composer
from resnet_lab.sweeps.job import Job, mark_failed, prepare, returned
from resnet_lab.sweeps.record import best_value, read_status
from resnet_lab.sweeps.sweep import distinct

log = logging.getLogger(__name__)

REFRESH = 1.0  # seconds between two readings of the jobs' records


class Stream(NamedTuple):
    """Jobs to run, in order; `total` and `name` are for people."""

    jobs: Iterable[Job | None]  # asked for one when a slot is free; None: wait until one has ended
    total: int
    name: Callable[[Job], str]
    ended: Callable[[Job, JobReturn], None] = lambda job, result: None

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> "Stream":
        """Return a stream of jobs that are known beforehand."""
        names = distinct([job.overrides for job in jobs])
        known = {job.directory: name for job, name in zip(jobs, names, strict=True)}
        return cls(jobs, len(jobs), lambda job: known[job.directory])


class Running(NamedTuple):
    """A job that runs in a slot."""

    number: int
    job: Job
    place: Path
    name: str
    config: DictConfig
    began: float
    process: Any  # what `start` gave


class End(NamedTuple):
    """The end of a job's process."""

    slot: int
    why: str  # in one line, for a job that has not recorded its own error
    printed: str = ""


class Runner(ABC):
    """Run jobs in slots; subclasses start the processes."""

    def __init__(self, max_failures: int | None = None) -> None:
        self.max_failures = max_failures  # after which no further job is started
        self._running: dict[int, Running] = {}  # by slot
        self._results: dict[int, JobReturn] = {}  # by number of the job
        self._ended: Callable[[Job, JobReturn], None]

    @abstractmethod
    def room(self) -> int:
        """Return the number of jobs at once."""

    @abstractmethod
    def start(self, slot: int, place: Path, config: DictConfig) -> Any:
        """Start the process of a job in its run directory."""

    @abstractmethod
    def wait(self, running: Mapping[int, Any]) -> list[End]:
        """Wait a moment, and return which of the processes, by slot, have ended."""

    @abstractmethod
    def stop(self, processes: Sequence[Any]) -> None:
        """End the processes: they save, and this returns when they have."""

    def run(self, directory: str | Path, stream: Stream, compose: Composer) -> list[JobReturn]:
        """Run jobs, in order, as slots come free, in the directory of their sweep.

        On Ctrl-C every running job saves and ends; a second Ctrl-C ends them at once. Returns for
        each job that was started its best value of `monitor`, or the error that ended it.
        """
        self._ended = stream.ended
        source, more = iter(stream.jobs), True
        log.info("%d jobs, %d at once", stream.total, min(self.room(), stream.total))
        with terminated_like_interrupted(), self._screen(stream.total) as refresh:
            try:
                while more or self._running:
                    if more:
                        more = self._fill(source, Path(directory), stream.name, compose)
                    processes = {slot: each.process for slot, each in self._running.items()}
                    for end in self.wait(processes):
                        self._conclude(self._running.pop(end.slot), end)
                    failed = [r for r in self._results.values() if r.status is JobStatus.FAILED]
                    more = more and (self.max_failures is None or len(failed) < self.max_failures)
                    refresh()
            except KeyboardInterrupt:
                log.info("stopping: each job saves after its step; Ctrl-C again ends them at once")
                self.stop([each.process for each in self._running.values()])
                raise
        return [self._results[number] for number in sorted(self._results)]

    def _fill(
        self,
        source: Iterator[Job | None],
        directory: Path,
        name: Callable[[Job], str],
        compose: Composer,
    ) -> bool:
        """Start jobs in the free slots; return whether there may be more jobs."""
        for slot in [slot for slot in range(self.room()) if slot not in self._running]:
            try:
                job = next(source)
            except StopIteration:
                return False
            if job is None:
                break
            place, number = directory / job.directory, len(self._results) + len(self._running)
            try:
                config = compose(job.overrides)
                prepare(place, config, job.overrides)
            except Exception as error:  # of this job; the others run
                self._fail(number, job, name(job), one_line(error))
                continue
            process = self.start(slot, place, config)
            began = time.monotonic()
            self._running[slot] = Running(number, job, place, name(job), config, began, process)
            log.info("started  %s", name(job))
        return True

    def _conclude(self, ran: Running, end: End) -> None:
        """Record the result of a job whose process has ended."""
        status = read_status(ran.place) or {}
        state, value = status.get("state"), best_value(status)
        if state in OVER:  # all is recorded; how the process ended does not matter
            shown = "" if value is None else f"  {ran.config.monitor} {value:.4f}"
            seconds = time.monotonic() - ran.began
            log.info("%-8s %s%s  (%.0f s)", state, ran.name, shown, seconds)
            self._returned(ran.number, ran.job, value)
            return
        error = status.get("error")
        if state not in ("failed", "interrupted"):
            error = end.why
            try:
                mark_failed(ran.place, error, end.printed)
            except Exception as problem:  # of this job; the others run
                error += f"; {one_line(problem)}"
        self._fail(ran.number, ran.job, ran.name, str(error))

    def _fail(self, number: int, job: Job, name: str, error: str) -> None:
        print(f"error: job {name}: {error}", file=sys.stderr, flush=True)
        self._returned(number, job, ValueError(error))

    def _returned(self, number: int, job: Job, value: float | Exception | None) -> None:
        self._results[number] = returned(job, value)
        self._ended(job, self._results[number])

    @contextlib.contextmanager
    def _screen(self, total: int) -> Iterator[Callable[[], None]]:
        """Show a line for each running job while a person looks on."""
        if not console().is_terminal:
            yield lambda: None
            return
        due = 0.0

        def refresh() -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            due = time.monotonic() + REFRESH
            lines = [_line(ran, read_status(ran.place) or {}) for ran in self._running.values()]
            lines.append(f"{len(self._results)} of {total} jobs ended")
            live.update(Text("\n".join(lines)))

        with Live(console=console(), auto_refresh=True, transient=True) as live:
            yield refresh


def _line(ran: Running, status: Mapping[str, Any]) -> str:
    monitor, metrics = ran.config.monitor, status.get("metrics")
    value = metrics.get(monitor) if isinstance(metrics, dict) else None
    speed = status.get("images_per_second")
    parts = [
        ran.name,
        f"epoch {status.get('epochs', 0)} of {ran.config.trainer.max_epochs}",
        f"{monitor} {value:.4f}" if is_finite_number(value) else "",
        f"{speed:,.0f} images/s" if is_finite_number(speed) else "",
        f"{time.monotonic() - ran.began:.0f} s",
    ]
    return "  ".join(part for part in parts if part)
