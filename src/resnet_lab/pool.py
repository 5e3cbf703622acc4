"""Several jobs at once on this machine, each in a fresh process.

A job is started as `python -m resnet_lab.train --resume DIRECTORY`: its run directory, with its
configuration in it, is all that is handed over. Each slot of the pool has a GPU of its own, or its
share of the cores. Should this process die, its jobs notice, save, and end too.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from hydra.core.utils import JobReturn
from rich.live import Live
from rich.text import Text

from resnet_lab.active_run import ActiveRun
from resnet_lab.config import one_line
from resnet_lab.console import console
from resnet_lab.launch import Job, returned, task_config
from resnet_lab.run import Run
from resnet_lab.sweep import distinct

log = logging.getLogger(__name__)

PARENT = "RESNET_LAB_PARENT"  # process that a job must not outlive
POLL = 0.1  # seconds between two looks at the processes
REFRESH = 1.0  # seconds between two looks at the jobs' records


class Slotted(NamedTuple):
    """A job that runs in a slot."""

    number: int
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]
    began: float


class Pool:
    """Slots in which jobs run.

    Args:
        workers: number of slots; None: `jobs_per_gpu` on each GPU, or one for each two cores.
        jobs_per_gpu: slots that share a GPU.
    """

    def __init__(self, workers: int | None = None, jobs_per_gpu: int = 1) -> None:
        self.gpus = _visible_gpus()
        affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
        self.cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        self.workers = workers or len(self.gpus) * jobs_per_gpu or max(1, self.cores // 2)
        self._running: dict[int, Slotted] = {}  # by slot
        self._results: dict[int, JobReturn] = {}  # by number of the job
        self._names: list[str] = []

    def environment(self, slot: int) -> dict[str, str]:
        """Return the environment of a job in a slot: its GPU, its threads."""
        threads = str(max(1, self.cores // self.workers))
        mine = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        if self.gpus:
            mine["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return {**os.environ, **mine, PARENT: str(os.getpid())}

    def run(self, directory: str, jobs: Sequence[Job]) -> list[JobReturn]:
        """Run jobs, in order, as slots come free.

        Ctrl-C lets every job that runs save and end; a second one ends them at once.

        Args:
            directory: of the sweep.
            jobs: composed.

        Returns:
            For each job its best value of `monitor`, or the error that ended it.
        """
        places = [Path(directory) / job.directory for job in jobs]
        self._names = distinct([job.overrides for job in jobs])
        waiting = list(reversed(range(len(jobs))))
        log.info("%d jobs, %d at once", len(jobs), min(self.workers, len(jobs)))
        with _terminated_like_interrupted(), self._screen(places, jobs) as refresh:
            try:
                while waiting or self._running:
                    free = [slot for slot in range(self.workers) if slot not in self._running]
                    for slot in free[: len(waiting)]:
                        number = waiting.pop()
                        self._start(slot, number, places[number], jobs[number])
                    time.sleep(POLL)
                    self._collect(places, jobs)
                    refresh(waiting)
            except KeyboardInterrupt:
                self._stop()
                raise
        return [self._results[number] for number in range(len(jobs))]

    def _start(self, slot: int, number: int, place: Path, job: Job) -> None:
        overrides = list(job.config.hydra.overrides.task)
        try:
            ActiveRun.prepare(place, task_config(job), overrides)
        except (ValueError, OSError) as error:
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
        self._running[slot] = Slotted(number, process, output, time.monotonic())
        log.info("started  %s", self._names[number])

    def _collect(self, places: Sequence[Path], jobs: Sequence[Job]) -> None:
        for slot, (number, process, output, began) in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[slot]
            output.seek(0)
            printed = output.read().decode(errors="replace")
            output.close()
            run, job = Run.load(places[number]), jobs[number]
            if code == 0:
                value = run.status.get("best", {}).get("value")
                self._results[number] = returned(job, value)
                seconds = time.monotonic() - began
                shown = "" if value is None else f"  {job.config.monitor} {value:.4f}"
                log.info(
                    "%-8s %s%s  (%.0f s)", run.status["state"], self._names[number], shown, seconds
                )
                continue
            if run.status.get("state") not in ("failed", "interrupted"):
                why = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                if code == -signal.SIGKILL:
                    why += ": the machine may be out of memory"
                ActiveRun.bury(places[number], why, printed)
                run = Run.load(places[number])
            self._fail(number, job, str(run.status.get("error")))

    def _fail(self, number: int, job: Job, error: str) -> None:
        print(f"error: job {self._names[number]}: {error}", file=sys.stderr, flush=True)
        self._results[number] = returned(job, ValueError(error))

    def _stop(self) -> None:
        """Ask the jobs to save and end, and wait; insist when asked again."""
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
                _line(self._names[job.number], Run.load(places[job.number]), job.began)
                for job in self._running.values()
            ]
            done = len(self._results)
            lines.append(f"{done} of {len(jobs)} jobs ended, {len(waiting)} waiting")
            live.update(Text("\n".join(lines)))

        with Live(console=console(), auto_refresh=True, transient=True) as live:
            yield refresh


def outlive_not(parent: str) -> None:
    """End this process, as a termination would, when the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let a termination of this process end its jobs as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(name: str, run: Run, began: float) -> str:
    status, epochs = run.status, run.config.trainer.max_epochs
    value = status.get("metrics", {}).get(run.config.monitor)
    parts = [
        name,
        f"epoch {status.get('epochs', 0)} of {epochs}",
        "" if value is None else f"{run.config.monitor} {value:.4f}",
        f"{status['images_per_second']:,.0f} images/s" if "images_per_second" in status else "",
        f"{time.monotonic() - began:.0f} s",
    ]
    return "  ".join(part for part in parts if part)


def _visible_gpus() -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES calls each GPU that this process may use."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = named.split(",") if named else [str(number) for number in range(count)]
    return names[:count]
