"""Run several jobs at once on this machine, each in a process of its own.

A job is started as `python -m resnet_lab.train --resume DIRECTORY`, where DIRECTORY holds its
configuration. Each slot of the pool has a GPU of its own, or its share of the cores. If this
process dies, its jobs save a checkpoint and end too.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from omegaconf import DictConfig

from resnet_lab.core.device import MEMORY_SHARE, visible_gpus
from resnet_lab.core.processes import PARENT
from resnet_lab.core.threads import VARIABLE, available_cores, most_threads
from resnet_lab.sweeps.launchers.job_process import command, why
from resnet_lab.sweeps.launchers.runner import End, Runner

POLL = 0.1  # seconds between two checks of the processes


class Process(NamedTuple):
    """The process of a job, and what it prints."""

    process: "subprocess.Popen[bytes]"
    output: IO[bytes]


class Pool(Runner):
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
        super().__init__(max_failures)
        self.gpus = visible_gpus()
        self.sharing = jobs_per_gpu
        slots = len(self.gpus) * jobs_per_gpu
        self.workers = workers or slots or available_cores()
        self.threads = threads or most_threads(self.workers)  # of a job, at most

    def room(self) -> int:
        """Return the number of jobs at once."""
        return self.workers

    def environment(self, slot: int) -> dict[str, str]:
        """Return the environment of a job in a slot: its GPU, its threads."""
        mine = {VARIABLE: str(self.threads)}
        if self.gpus and self.sharing > 1:
            mine[MEMORY_SHARE] = str(0.9 / self.sharing)  # each has a CUDA context beside it
        if self.gpus:
            mine["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return {**os.environ, **mine, PARENT: str(os.getpid())}

    def start(self, slot: int, place: Path, config: DictConfig) -> Process:
        """Start the process of a job in its run directory."""
        output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the job has ended
        process = subprocess.Popen(
            command(place),
            env=self.environment(slot),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is passed on by this process, once
        )
        return Process(process, output)

    def wait(self, running: Mapping[int, Process]) -> list[End]:
        """Wait a moment, and return which of the processes, by slot, have ended."""
        time.sleep(POLL)
        ends = []
        for slot, (process, output) in running.items():
            code = process.poll()
            if code is not None:
                output.seek(0)
                printed = output.read().decode(errors="replace")
                output.close()
                ends.append(End(slot, why(code, printed), printed))
        return ends

    def stop(self, processes: Sequence[Process]) -> None:
        """Ask the jobs to save and end, and wait; on another Ctrl-C, kill them."""
        try:
            for process, _ in processes:
                process.send_signal(signal.SIGINT)
            for process, _ in processes:
                process.wait()
        except KeyboardInterrupt:
            for process, _ in processes:
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
