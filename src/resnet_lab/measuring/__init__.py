"""What `resnet_lab.benchmark` measures: each function one thing, on this machine, now."""

import statistics
from collections.abc import Callable


def pair(
    first: Callable[[], float], second: Callable[[], float], repeats: int
) -> tuple[float, float, float]:
    """Measure two in turn; return both medians and the median of second over first."""
    pairs = [(first(), second()) for _ in range(repeats)]
    ratio = statistics.median(b / a for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio
