"""Parts of `resnet_lab.benchmark`: the loops that are timed, and what they train."""

import statistics
from collections.abc import Sequence


def medians(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return both medians and the median of second over first, of values measured in turn."""
    ratios = (b / a for a, b in zip(first, second, strict=True))
    return statistics.median(first), statistics.median(second), statistics.median(ratios)
