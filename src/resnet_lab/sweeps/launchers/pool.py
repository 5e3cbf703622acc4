"""Run several jobs at once on this machine, each in a process of its own.

A job is started as `python -m resnet_lab.train --resume DIRECTORY`, where DIRECTORY holds its
configuration. Each slot of the pool has a GPU of its own, or its share of the cores. If this
process dies, its jobs save a checkpoint and end too.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from resnet_lab.core.device import MEMORY_SHARE, visible_gpus
from resnet_lab.core.threads import VARIABLE, available_cores, most_threads
from resnet_lab.sweeps.launchers.job_process import JobProcess
from resnet_lab.sweeps.launchers.runner import End, Runner

POLL = 0.1  # seconds between two checks of the processes


class Pool(Runner):
    """Run jobs in so many slots; None: `jobs_per_gpu` on each GPU, or one a core.

    Slots that share a GPU share its memory in equal parts. Each process of a job has at most so
    many threads; None: an equal share of the cores.
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
        return self.workers

    def environment(self, slot: int) -> dict[str, str]:
        """Return what is set for a job in a slot: its GPU, its threads."""
        mine = {VARIABLE: str(self.threads)}
        if self.gpus and self.sharing > 1:
            mine[MEMORY_SHARE] = str(0.9 / self.sharing)  # each has a CUDA context beside it
        if self.gpus:
            mine["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return mine

    def start(self, slot: int, place: Path, config: DictConfig) -> JobProcess:
        return JobProcess(place, self.environment(slot))

    def wait(self, running: Mapping[int, JobProcess]) -> list[End]:
        time.sleep(POLL)
        return [End(slot, *job.end()) for slot, job in running.items() if job.poll() is not None]

    def stop(self, processes: Sequence[JobProcess]) -> None:
        """Ask the jobs to save and end, and wait; on another Ctrl-C, kill them."""
        try:
            for job in processes:
                job.send_signal(signal.SIGINT)
            for job in processes:
                job.wait()
        except KeyboardInterrupt:
            for job in processes:
                with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                    os.killpg(job.pid, signal.SIGKILL)
                job.wait()
