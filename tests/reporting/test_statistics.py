import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from resnet_lab.reporting.statistics import (
    PAIRED,
    WELCH,
    bootstrap_interval,
    difference,
    holm,
    mcnemar,
    shifted_interval,
    spread,
)


def test_spread_has_mean_std_and_interval() -> None:
    n, mean, std, low, high = spread([1.0, 2.0, 3.0])
    assert (n, mean, std) == (3, 2.0, 1.0)
    half = 4.302653 / 3**0.5  # Student's t for two degrees of freedom
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_spread_of_one_value_has_no_std() -> None:
    assert spread([0.5]) == (1, 0.5, None, None, None)


def test_spread_of_equal_values_has_no_interval() -> None:
    assert spread([0.5, 0.5]) == (2, 0.5, 0.0, None, None)


def test_spread_clips_the_interval_to_the_bounds() -> None:
    assert spread([0.9, 0.99], (0.0, 1.0))[3:] == (pytest.approx(0.3732, abs=1e-3), 1.0)


def test_difference_pairs_equal_seeds_in_any_order() -> None:
    first = {0: 0.90, 1: 0.95, 2: 0.91}
    second = {2: 0.89, 0: 0.89, 1: 0.93}
    test = difference(first, second)
    assert test is not None
    assert test.test == PAIRED
    assert test.p == pytest.approx(ttest_rel([0.90, 0.95, 0.91], [0.89, 0.93, 0.89]).pvalue)


def test_difference_of_other_seeds_is_welch() -> None:
    test = difference({0: 0.90, 1: 0.95, 2: 0.91}, {0: 0.8, 1: 0.7})
    assert test is not None
    assert test.test == WELCH
    expected = ttest_ind([0.90, 0.95, 0.91], [0.8, 0.7], equal_var=False).pvalue
    assert test.p == pytest.approx(expected)


def test_difference_needs_two_values_of_each() -> None:
    assert difference({0: 0.9}, {0: 0.8, 1: 0.7}) is None
    assert difference({0: 0.9, 1: 0.7}, {0: 0.8}) is None


def test_difference_of_equal_values_has_p_1() -> None:
    assert difference({0: 0.9, 1: 0.8}, {0: 0.9, 1: 0.8}) == (PAIRED, 1.0)


def test_difference_of_constant_pairs_is_welch() -> None:
    test = difference({0: 0.75, 1: 0.5}, {0: 0.5, 1: 0.25})
    assert test is not None
    assert test.test == WELCH
    assert 0.1 < test.p < 0.5


def test_difference_is_none_if_nothing_varies() -> None:
    assert difference({0: 0.9, 1: 0.9}, {0: 0.8, 1: 0.8}) is None


def test_holm_corrects_for_the_number_of_tests() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_mcnemar_counts_only_discordant_images() -> None:
    assert mcnemar(10, 2) == pytest.approx(0.03857, abs=1e-5)  # twice the binomial's tail
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 0) == 1.0


def test_the_interval_of_a_biased_statistic_holds_its_value() -> None:
    random = np.random.default_rng(0)
    gaps, bins = random.normal(size=600), np.arange(600) % 15  # in truth no bin differs from 0

    def error(chosen: np.ndarray) -> float:
        return float(np.abs(np.bincount(bins[chosen], gaps[chosen])).sum() / len(chosen))

    value = error(np.arange(600))
    resampled = [error(random.integers(0, 600, 600)) for _ in range(500)]
    low, high = shifted_interval(resampled, value)
    assert low < value < high
    assert low < np.quantile(resampled, 0.025) - 0.02  # toward the truth, which is 0
    assert high - low == pytest.approx(np.subtract(*np.quantile(resampled, [0.975, 0.025])))


def test_the_bootstrap_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(3, 2, (400, 1))
    low, high = bootstrap_interval(values, lambda means: means[:, 0])
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
