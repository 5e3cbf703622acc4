"""Run several jobs at once on this machine, each in a process of its own.

A job is started as `python -m resnet_lab.train --resume DIRECTORY`, where DIRECTORY holds its
configuration. Each slot of the pool has a GPU of its own, or its share of the cores. If this
process dies, its jobs save a checkpoint and end too.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from rich.live import Live
from rich.text import Text

from resnet_lab.core.config import is_finite_number
from resnet_lab.core.console import console
from resnet_lab.core.device import MEMORY_SHARE, visible_gpus
from resnet_lab.core.errors import one_line
from resnet_lab.core.processes import PARENT
from resnet_lab.core.threads import VARIABLE, available_cores, most_threads
from resnet_lab.runs.run import OVER
from resnet_lab.sweeps.composing import Composer
from resnet_lab.sweeps.job import Job, mark_failed, prepare, returned
from resnet_lab.sweeps.record import best_value, read_status
from resnet_lab.sweeps.sweep import distinct

log = logging.getLogger(__name__)

POLL = 0.1  # seconds between two checks of the processes
REFRESH = 1.0  # seconds between two readings of the jobs' records
FRAME = " \t" + "".join(map(chr, range(0x2500, 0x2580)))  # characters that a table is drawn with


class Slotted(NamedTuple):
    """A job that runs in a slot."""

    number: int
    config: DictConfig
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]
    began: float


class Pool:
    """Run jobs in a fixed number of slots.

    Args:
        workers: number of slots; None: `jobs_per_gpu` on each GPU, or one a core.
        jobs_per_gpu: slots that share a GPU and its memory, in equal parts.
        max_failures: failed jobs after which no further one is started; None: no limit.
        threads: of each process of a job, at most; None: an equal share of the cores.
    """

    def __init__(
        self,
        workers: int | None = None,
        jobs_per_gpu: int = 1,
        max_failures: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.gpus = visible_gpus()
        self.max_failures = max_failures
        self.sharing = jobs_per_gpu
        slots = len(self.gpus) * jobs_per_gpu
        self.workers = workers or slots or available_cores()
        self.threads = threads or most_threads(self.workers)  # of a job, at most
        self._running: dict[int, Slotted] = {}  # by slot
        self._results: dict[int, JobReturn] = {}  # by number of the job
        self._names: list[str] = []

    def environment(self, slot: int) -> dict[str, str]:
        """Return the environment of a job in a slot: its GPU, its threads."""
        mine = {VARIABLE: str(self.threads)}
        if self.gpus and self.sharing > 1:
            mine[MEMORY_SHARE] = str(0.9 / self.sharing)  # each has a CUDA context beside it
        if self.gpus:
            mine["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return {**os.environ, **mine, PARENT: str(os.getpid())}

    def run(self, directory: str, jobs: Sequence[Job], compose: Composer) -> list[JobReturn]:
        """Run jobs, in order, as slots come free.

        On Ctrl-C every running job saves and ends; a second Ctrl-C ends them at once.

        Args:
            directory: of the sweep.
            jobs: to run.
            compose: gives their configurations.

        Returns:
            For each job that was started, its best value of `monitor`, or the error that ended it.
        """
        places = [Path(directory) / job.directory for job in jobs]
        self._names = distinct([job.overrides for job in jobs])
        waiting = list(reversed(range(len(jobs))))
        log.info("%d jobs, %d at once", len(jobs), min(self.workers, len(jobs)))
        with self._screen(places, jobs) as refresh:
            try:
                while waiting or self._running:
                    free = [slot for slot in range(self.workers) if slot not in self._running]
                    for slot in free[: len(waiting)]:
                        number = waiting.pop()
                        self._start(slot, number, places[number], jobs[number], compose)
                    time.sleep(POLL)
                    self._collect(places, jobs)
                    if self._failed_too_often():
                        waiting.clear()
                    refresh(waiting)
            except KeyboardInterrupt:
                self._stop()
                raise
        return [self._results[number] for number in sorted(self._results)]

    def _failed_too_often(self) -> bool:
        failed = sum(result.status is JobStatus.FAILED for result in self._results.values())
        return self.max_failures is not None and failed >= self.max_failures

    def _start(self, slot: int, number: int, place: Path, job: Job, compose: Composer) -> None:
        try:
            config = compose(job.overrides)
            prepare(place, config, job.overrides)
        except Exception as error:  # of this job; the others run
            self._fail(number, job, one_line(error))
            return
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the job has ended
        process = subprocess.Popen(
            [sys.executable, "-m", "resnet_lab.train", "--resume", str(place), "--trust"],
            env=self.environment(slot),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is passed on by this process, once
        )
        self._running[slot] = Slotted(number, config, process, output, time.monotonic())
        log.info("started  %s", self._names[number])

    def _collect(self, places: Sequence[Path], jobs: Sequence[Job]) -> None:
        for slot, slotted in list(self._running.items()):
            code = slotted.process.poll()
            if code is None:
                continue
            del self._running[slot]
            slotted.output.seek(0)
            printed = slotted.output.read().decode(errors="replace")
            slotted.output.close()
            self._conclude(slotted, places[slotted.number], jobs[slotted.number], code, printed)

    def _conclude(self, slotted: Slotted, place: Path, job: Job, code: int, printed: str) -> None:
        """Record the result of a job whose process has ended."""
        number, name = slotted.number, self._names[slotted.number]
        status = read_status(place) or {}
        state, value = status.get("state"), best_value(status)
        if state in OVER:  # all is recorded; the exit code does not matter
            self._results[number] = returned(job, value)
            shown = "" if value is None else f"  {slotted.config.monitor} {value:.4f}"
            seconds = time.monotonic() - slotted.began
            log.info("%-8s %s%s  (%.0f s)", state, name, shown, seconds)
            return
        error = status.get("error")
        if state not in ("failed", "interrupted"):
            error = _why(code, printed)
            try:
                mark_failed(place, error, printed)
            except Exception as problem:  # of this job; the others run
                error += f"; {one_line(problem)}"
        self._fail(number, job, str(error))

    def _fail(self, number: int, job: Job, error: str) -> None:
        print(f"error: job {self._names[number]}: {error}", file=sys.stderr, flush=True)
        self._results[number] = returned(job, ValueError(error))

    def _stop(self) -> None:
        """Ask the jobs to save and end, and wait; on another Ctrl-C, kill them."""
        try:
            log.info("stopping: each job saves after its step; Ctrl-C again ends them at once")
            for job in self._running.values():
                job.process.send_signal(signal.SIGINT)
            for job in self._running.values():
                job.process.wait()
        except KeyboardInterrupt:
            for job in self._running.values():
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.killpg(job.process.pid, signal.SIGKILL)
                job.process.wait()

    @contextlib.contextmanager
    def _screen(
        self, places: Sequence[Path], jobs: Sequence[Job]
    ) -> Iterator[Callable[[Sequence[int]], None]]:
        """Show a line for each running job while a person looks on."""
        if not console().is_terminal:
            yield lambda waiting: None
            return
        due = 0.0

        def refresh(waiting: Sequence[int]) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            due = time.monotonic() + REFRESH
            lines = [
                _line(self._names[job.number], read_status(places[job.number]) or {}, job)
                for job in self._running.values()
            ]
            done = len(self._results)
            lines.append(f"{done} of {len(jobs)} jobs ended, {len(waiting)} waiting")
            live.update(Text("\n".join(lines)))

        with Live(console=console(), auto_refresh=True, transient=True) as live:
            yield refresh


def _why(code: int, printed: str) -> str:
    """Say why a process ended, with the last line of text that it printed."""
    why = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        why += ": the machine may be out of memory"
    lines = [line.strip(FRAME) for line in printed.splitlines()]
    return ": ".join([why, *[line for line in lines if any(map(str.isalnum, line))][-1:]])


def _line(name: str, status: Mapping[str, Any], job: Slotted) -> str:
    monitor, metrics = job.config.monitor, status.get("metrics")
    value = metrics.get(monitor) if isinstance(metrics, dict) else None
    speed = status.get("images_per_second")
    parts = [
        name,
        f"epoch {status.get('epochs', 0)} of {job.config.trainer.max_epochs}",
        f"{monitor} {value:.4f}" if is_finite_number(value) else "",
        f"{speed:,.0f} images/s" if is_finite_number(speed) else "",
        f"{time.monotonic() - job.began:.0f} s",
    ]
    return "  ".join(part for part in parts if part)
