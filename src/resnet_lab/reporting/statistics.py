"""Statistics: spread over seeds, tests of a difference, McNemar's test.

SciPy and NumPy are imported where they are needed: a report of single seeds needs neither.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.05  # of significance
RESAMPLES = 1000  # of a bootstrap

PAIRED = "paired t-test by seed"
WELCH = "Welch's t-test"


class Spread(NamedTuple):
    """Mean and spread over seeds; None where one seed is not enough."""

    n: int
    mean: float
    std: float | None  # of the sample, with n - 1
    low: float | None  # 95 % interval of the mean by Student's t; None also if nothing varies
    high: float | None


class Difference(NamedTuple):
    """The result of a two-sided test of whether two means differ."""

    test: str
    p: float


def spread(values: Sequence[float], bounds: tuple[float, float] | None = None) -> Spread:
    """Compute mean, standard deviation and the 95 % interval of the mean, clipped to the bounds."""
    n, mean = len(values), statistics.fmean(values)
    std = statistics.stdev(values) if n > 1 else None
    return Spread(n, mean, std, *_interval(mean, std, n, 1 / n, bounds))


def spread_of_folds(values: Sequence[float], bounds: tuple[float, float] | None = None) -> Spread:
    """Compute the mean over the folds of one seed, n = 1, and its corrected 95 % interval.

    k folds share training images, so that the variance of their mean is (1/k + 1/(k - 1)) times
    that of a fold, rather than 1/k times (Nadeau and Bengio 2003).
    """
    k, mean = len(values), statistics.fmean(values)
    low, high = _interval(mean, statistics.stdev(values), k, 1 / k + 1 / (k - 1), bounds)
    return Spread(1, mean, None, low, high)


def _interval(
    mean: float, std: float | None, n: int, share: float, bounds: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a mean of n values whose variance is a share of theirs."""
    if not std:
        return None, None
    from scipy.stats import t

    low, high = t.interval(0.95, n - 1, mean, std * math.sqrt(share))
    least, most = bounds or (-math.inf, math.inf)
    return max(least, float(low)), min(most, float(high))


def difference(first: Mapping[object, float], second: Mapping[object, float]) -> Difference | None:
    """Test whether two groups of values, by seed, have the same mean.

    Paired by seed if both have the same seeds, else by Welch's test. This is also used if all pairs
    differ by the same amount, where a paired test is undefined.

    Returns:
        None if a group has a single value or nothing varies.
    """
    if min(len(first), len(second)) < 2:
        return None
    from scipy.stats import ttest_ind_from_stats, ttest_rel

    a, b = list(first.values()), list(second.values())
    if first.keys() == second.keys():
        b = [second[seed] for seed in first]
        between = [x - y for x, y in zip(a, b, strict=True)]
        largest = max(map(abs, between))
        if largest == 0:
            return Difference(PAIRED, 1.0)
        if max(between) - min(between) > 1e-9 * largest:
            return Difference(PAIRED, float(ttest_rel(a, b).pvalue))
    one, two = ((statistics.fmean(x), statistics.stdev(x), len(x)) for x in (a, b))
    if max(one[1], two[1]) == 0:
        return None
    return Difference(WELCH, float(ttest_ind_from_stats(*one, *two, equal_var=False).pvalue))


def paired_difference(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float, float, float, float]:
    """Compare two measurements of the same things, such as errors on the same images.

    Returns:
        The mean of second - first, its 95 % interval, and the p of the paired t-test, two-sided.
    """
    from scipy.stats import ttest_rel

    between = [b - a for a, b in zip(first, second, strict=True)]
    mean = statistics.fmean(between)
    if len(set(between)) == 1:  # all alike, or nothing to tell from
        return mean, mean, mean, 1.0 if mean == 0 or len(between) == 1 else 0.0
    found = ttest_rel(second, first)
    low, high = found.confidence_interval(0.95)
    return mean, float(low), float(high), float(found.pvalue)


def bootstrap_interval(
    terms: "NDArray[np.float64]", statistic: "Callable[[NDArray[np.float64]], NDArray[np.float64]]"
) -> tuple[float, float]:
    """Return the 95 % interval of a statistic of means, by the bootstrap over the rows.

    Args:
        terms: what is averaged, [N, K].
        statistic: of means [R, K], one value for each row.
    """
    import numpy as np

    random, count = np.random.default_rng(0), len(terms)
    shares = np.full(count, 1 / count)
    parts = [random.multinomial(count, shares, 50) @ terms / count for _ in range(RESAMPLES // 50)]
    low, high = np.quantile(statistic(np.concatenate(parts)), [0.025, 0.975])
    return float(low), float(high)


def shifted_interval(resampled: Sequence[float], value: float) -> tuple[float, float]:
    """Return the 95 % interval of a statistic that is biased, from the bootstrap's values of it.

    The values lie as far above the statistic, on average, as it lies above the truth: the interval
    is shifted back by that (Efron and Tibshirani 1993, chapter 10). A calibration error is such a
    statistic: noise in the bins makes it larger, and drawing images anew does so once more.
    """
    import numpy as np

    bias = float(np.nanmean(resampled)) - value
    low, high = np.nanquantile(resampled, [0.025, 0.975]) - bias
    return float(low), float(high)


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons (Holm 1979)."""
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = highest
    return corrected


def mcnemar(only_first: int, only_second: int) -> float:
    """Test whether two classifiers differ on the same images (McNemar 1947, exact binomial).

    Takes the numbers of images that only one of them had right; returns the two-sided p.
    """
    if only_first + only_second == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_first, only_first + only_second).pvalue)
