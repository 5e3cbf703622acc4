"""Time a sweep on the pool: as it shares the cores by itself, by hand, and in one process."""

import statistics
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.speed.commands import seconds_of
from resnet_lab.core.threads import available_cores

JOB = ("data=digits", "trainer=cpu", "trainer.max_epochs=10", "callbacks.progress=null")


def pool_cost(jobs: int = 8, repeats: int = 3) -> dict[str, Any]:
    """Time jobs on the digits in each way to run them.

    Args:
        jobs: of each sweep.
        repeats: of all ways, in turn.

    Returns:
        Median seconds of `auto`, of `in_process` and `by_hand` by number of workers, the `best` of
        the latter, and the `ratio` of auto to it.
    """
    workers = sorted({1, max(1, available_cores() // 2), available_cores()})
    ways = {
        "auto": ["hydra/launcher=local_pool"],
        "in_process": [],
        **{str(n): ["hydra/launcher=local_pool", f"hydra.launcher.workers={n}"] for n in workers},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, options in ways.items():
            with TemporaryDirectory() as folder:
                sweep = ("-m", *JOB, f"seed=range({jobs})", f"sweep_dir={folder}/sweep", *options)
                seconds[name].append(seconds_of("-m", "resnet_lab.train", *sweep))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    by_hand = {str(n): medians[str(n)] for n in workers}
    best = min(by_hand, key=lambda name: by_hand[name])
    ratios = (auto / hand for auto, hand in zip(seconds["auto"], seconds[best], strict=True))
    return {
        "auto": medians["auto"],
        "in_process": medians["in_process"],
        "by_hand": by_hand,
        "best": by_hand[best],
        "ratio": statistics.median(ratios),
        "n": repeats,
    }
