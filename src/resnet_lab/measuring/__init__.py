"""What `resnet_lab.benchmark` measures: each function one thing, on this machine, now."""

import statistics
from collections.abc import Callable, Sequence


def pair(
    first: Callable[[], float], second: Callable[[], float], repeats: int
) -> tuple[float, float, float]:
    """Measure two in turn; return what `middle` does."""
    pairs = [(first(), second()) for _ in range(repeats)]
    return middle([one for one, _ in pairs], [two for _, two in pairs])


def middle(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return both medians and the median of second over first, of values measured in turn."""
    ratios = (b / a for a, b in zip(first, second, strict=True))
    return statistics.median(first), statistics.median(second), statistics.median(ratios)
