"""Time a job with fixed and chosen numbers of threads, alone and beside busy processes."""

import contextlib
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig

from resnet_lab.core.threads import available_cores, most_threads
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.training.preparing.thread_choice import recent

# Ends by itself when the benchmark is gone.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def contention(cfg: DictConfig, repeats: int = 3) -> dict[str, Any]:
    """Time a job alone and beside as many busy processes as there are cores.

    Args:
        cfg: a composed, resolved configuration.
        repeats: of all numbers of threads, in turn.

    Returns:
        The `cores`, and for `quiet` and `busy` the median seconds with `one` thread, with `all` and
        with `auto`, and the `ratio` of auto to the better of the fixed ones.
    """
    found: dict[str, Any] = {"n": repeats, "cores": available_cores()}
    for name, count in (("quiet", 0), ("busy", available_cores())):
        with busy_processes(count):
            found[name] = _times(cfg, repeats)
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


def _times(cfg: DictConfig, repeats: int) -> dict[str, float]:
    settings: dict[str, int | str] = {"one": 1, "all": most_threads(), "auto": "auto"}
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(repeats):
        for name, setting in settings.items():
            seconds[name].append(job_seconds(cfg, setting))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    best = min(("one", "all"), key=lambda name: medians[name])
    ratios = (auto / fixed for auto, fixed in zip(seconds["auto"], seconds[best], strict=True))
    return {**medians, "ratio": statistics.median(ratios)}


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
