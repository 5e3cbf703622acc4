"""Time jobs whose threads or workers are chosen for them, against what is best by hand."""

import contextlib
import io
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from benchmarks.speed import in_turn, medians, ratio
from benchmarks.speed.commands import seconds_of
from resnet_lab.core.threads import available_cores, most_threads
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.training.preparing.thread_choice import recent

# Ends by itself when the benchmark is gone.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
JOB = ("data=digits", "trainer=cpu", "trainer.max_epochs=10", "callbacks.progress=null")
POOL = "hydra/launcher=local_pool"


def against_best(seconds: Mapping[str, Sequence[float]], by_hand: Sequence[str]) -> dict[str, Any]:
    """Return the medians, that of the `best` choice by hand, and the `ratio` of auto to it."""
    found = medians(seconds)
    best = min(by_hand, key=lambda name: found[name])
    return {**found, "best": found[best], "ratio": ratio(seconds, "auto", best)}


def contention(cfg: DictConfig, repeats: int = 3) -> dict[str, dict[str, Any]]:
    """Time a job alone and beside as many busy processes as there are cores.

    Returns:
        For `quiet` and `busy` the seconds with `one` thread, with `all` and with `auto`; see
        `against_best`.
    """
    settings: dict[str, int | str] = {"one": 1, "all": most_threads(), "auto": "auto"}
    jobs = {name: partial(job_seconds, cfg, threads) for name, threads in settings.items()}
    found = {}
    for name, count in (("quiet", 0), ("busy", available_cores())):
        with busy_processes(count):
            found[name] = against_best(in_turn(jobs, repeats), ("one", "all"))
        found[name] |= {"n": repeats, "cores": count}
    return found


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many cores busy within this context."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def job_seconds(cfg: DictConfig, threads: int | str) -> float:
    """Return the seconds of a job from its data on, the choice of its threads included."""
    cfg = cfg.copy()
    cfg.trainer.threads = threads
    recent.clear()  # each job chooses for itself
    with (
        TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        ActiveRun.open(Path(folder) / "run", cfg) as run,
    ):
        start = time.perf_counter()
        fit_and_test(run)
        return time.perf_counter() - start


def pool_cost(jobs: int = 8, repeats: int = 3) -> dict[str, Any]:
    """Time a sweep on the digits as the pool shares the cores, by hand, and in one process.

    Returns:
        Seconds of `auto`, of `in_process`, and by number of workers; see `against_best`;
        `ratio_in_process` of auto to one process.
    """
    workers = [str(n) for n in sorted({1, max(1, available_cores() // 2), available_cores()})]
    ways = {"auto": [POOL], "in_process": []}
    ways |= {count: [POOL, f"hydra.launcher.workers={count}"] for count in workers}
    sweeps = {name: partial(_sweep_seconds, jobs, options) for name, options in ways.items()}
    seconds = in_turn(sweeps, repeats)
    alone = ratio(seconds, "auto", "in_process")
    return {**against_best(seconds, workers), "ratio_in_process": alone, "n": repeats}


def _sweep_seconds(jobs: int, options: Sequence[str]) -> float:
    with TemporaryDirectory() as folder:
        sweep = ("-m", *JOB, f"seed=range({jobs})", f"sweep_dir={folder}/sweep", *options)
        return seconds_of("-m", "resnet_lab.train", *sweep)
