"""Choose how many jobs a pool runs at once on the cores of this machine.

Many jobs with a thread each, or few with several? A small network gains nothing from a second
thread; large ones at once wait for the memory that they share. So each way to share the cores is
tried: as many processes as it has workers train the network of the first job for a moment, at the
same time, and the way that trains most images a second in all is taken.
"""

import logging
import multiprocessing
import os
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig

from resnet_lab.core.harmless import harmless
from resnet_lab.core.threads import available_cores, most_threads, use, using
from resnet_lab.data.decoding.decode import free_memory
from resnet_lab.data.pixels import sides
from resnet_lab.runs.checking.checks import FACTS, resolved
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.record import change, load
from resnet_lab.training.preparing.thread_choice import (
    ALIKE,
    local_processes,
    setting_of,
    training_step,
)

log = logging.getLogger(__name__)

MOMENT = 0.5  # seconds for which each way is timed, or two steps if they take longer
LONG = 2.0  # seconds; of a longer step, as many images are taken as go into that
POLL = 0.01  # seconds between two looks for an answer
PATIENCE = 30.0  # seconds after which a way that has not answered is not taken
Step = Callable[[int], object]


class Share(NamedTuple):
    """A way to share the cores: jobs at once, and threads of each process of a job."""

    workers: int
    threads: int


def share_cores(sweep: Path, config: DictConfig, jobs: int) -> Share:
    """Choose how the jobs of a sweep share the cores, and record the number of threads.

    A sweep that is resumed keeps that number, since results depend on it in their last digits.
    `config` is that of the first job; there are no more workers than jobs.
    """
    run = Run(Path(), resolved(config, trust=True), {}, trust=True)
    ways = shares(jobs, local_processes(run.config), setting_of(run.config))
    earlier = load(sweep).get("threads")
    share = next((way for way in ways if way.threads == earlier), None)
    if share is None:
        share = ways[-1]
        with harmless("the choice of workers and threads"):
            share = choose(run, ways)
    with change(sweep) as record:
        record["threads"] = share.threads
    return share


def choose(run: Run, ways: Sequence[Share]) -> Share:
    """Return the way, of those from few workers to many, that trains most images a second."""
    config = run.config
    known = [config.data.get(name) for name in FACTS]
    if len(ways) == 1 or None in known or local_processes(config) > 1:
        return ways[-1]
    classes, channels, size = known
    batch = config.data.batch_size
    images = torch.rand(batch, channels, *sides(size))
    labels = torch.randint(int(classes), (batch,))
    step = training_step(run.build_net(), images, labels, str(config.trainer.precision))
    with using(1):  # a process that has used more cannot fork others that do
        step(min(2, batch))
        began = time.perf_counter()
        step(min(2, batch))
        one = (time.perf_counter() - began) / min(2, batch)  # seconds an image, if not better
    part = max(1, min(batch, int(LONG / one)))
    rates: dict[Share, float] = {}
    for way in ways:
        rate, memory = throughput(step, part, way)
        if rate is not None:
            rates[way] = rate
        needed = 2 * way.workers * memory * batch / part
        if (free := free_memory()) is not None and needed > free:
            break  # twice as many would not fit
    best = max(rates.values(), default=0.0)
    chosen = [way for way, rate in rates.items() if ALIKE * rate >= best] or ways[-1:]
    told = ", ".join(f"{w.workers} x {w.threads}: {rate:,.0f}" for w, rate in rates.items())
    log.info("workers x threads, images/s in all: %s", told)
    return chosen[-1]  # of those that are alike, the one with the fewest threads


def shares(jobs: int, processes: int, setting: object) -> list[Share]:
    """Return the ways to share the cores, from few workers with many threads to many with one.

    Each of the jobs has so many processes; `setting` is `trainer.threads`.
    """
    cores, most = available_cores(), most_threads(processes)
    numbers = {setting} if isinstance(setting, int) else {most, *(2**n for n in range(10))}
    threads = sorted((number for number in numbers if number <= most), reverse=True) or [most]
    return [Share(max(1, min(jobs, cores // (n * processes))), n) for n in threads]


def throughput(step: Step, images: int, way: Share) -> tuple[float | None, int]:
    """Measure a way to share the cores, in which each process trains by `step(images)`.

    Returns:
        Images a second of all processes together, None if one of them gave no answer; and the bytes
        of memory that a process took.
    """
    fork = multiprocessing.get_context("fork")
    ready, found = fork.Barrier(way.workers), fork.SimpleQueue()
    given = (step, images, way.threads, ready, found, os.getpid())
    processes = [fork.Process(target=_train, args=given) for _ in range(way.workers)]
    with warnings.catch_warnings():  # Python 3.12 warns whoever forks with threads
        warnings.simplefilter("ignore", DeprecationWarning)
        for process in processes:
            process.start()
    answers: list[tuple[float, int]] = []
    end = time.monotonic() + PATIENCE
    while len(answers) < way.workers and time.monotonic() < end:
        if not found.empty():
            answers.append(found.get())
        elif not all(process.is_alive() for process in processes):
            break
        else:
            time.sleep(POLL)
    for process in processes:
        process.kill()
        process.join()
    memory = max((memory for _, memory in answers), default=0)
    complete = len(answers) == way.workers
    return (sum(rate for rate, _ in answers) if complete else None), memory


def _train(
    step: Step,
    images: int,
    threads: int,
    ready: Barrier,
    found: SimpleQueue[tuple[float, int]],
    parent: int,
) -> None:
    """Train at the same time as others, and tell how fast; keep the core busy until killed."""
    use(threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(images)  # sets up memory and kernels
    took = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    ready.wait()
    began, steps, seconds = time.perf_counter(), 0, 0.0
    while steps < 2 or seconds < MOMENT:
        step(images)
        steps, seconds = steps + 1, time.perf_counter() - began
    found.put((steps * images / seconds, 1024 * took))
    while os.getppid() == parent:
        step(images)
