"""What an experiment expects of a run, `expected: {metric, value, tolerance, source}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.config import is_finite_number
from resnet_lab.core.directions import DIRECTIONS, entry_mode, mode_of
from resnet_lab.core.errors import closest


def check_expected(config: DictConfig, names: Sequence[str], *, trust: bool = False) -> None:
    """Refuse, before training, an expectation that the run could not be held to.

    `names` are those of the metrics that it will have: of the test, and of the weights that are
    best. Raises a ValueError if the one that is expected is not among them, its direction is not
    known, or the value or the tolerance is no number.
    """
    expected = config.get("expected")
    if not expected:
        return
    metric = str(expected.get("metric"))
    if metric not in names:
        without = metric.startswith("test/") and not config.test
        way = "test=null leaves the test out" if without else closest(metric, list(names))
        raise ValueError(f"expected.metric={metric}: the run will not have that metric; {way}")
    for key in ("value", "tolerance"):
        number = expected.get(key)
        if not is_finite_number(number) or isinstance(number, bool):
            raise ValueError(f"expected.{key}={number}: must be a number")
    if expected.tolerance < 0:
        raise ValueError(f"expected.tolerance={expected.tolerance}: must not be below 0")
    _mode(config, trust)


def verdict(
    config: DictConfig, status: Mapping[str, Any], *, trust: bool = False
) -> dict[str, Any]:
    """Hold a finished run to what is expected: at least as good as the value, to the tolerance."""
    expected = config.expected
    split, _, name = expected.metric.partition("/")
    if split == "test":
        measured = status["test"][name]
    else:
        measured = status["best"]["metrics"][expected.metric]
    lower = _mode(config, trust) == "min"
    short = measured - expected.value if lower else expected.value - measured
    plain = OmegaConf.to_container(expected)
    assert isinstance(plain, dict)
    return {**plain, "measured": measured, "passed": bool(short <= expected.tolerance)}


def _mode(config: DictConfig, trust: bool) -> str:
    """Return the direction of the metric: known, that of `monitor`, or `expected.mode`."""
    metric, given = str(config.expected.metric), config.expected.get("mode")
    kind, own = metric.split("/")[-1], entry_mode(config, metric, trust=trust)
    if given is None and kind == str(config.monitor).split("/")[-1]:
        given = config.get("monitor_mode")
    if given is None and own is None and kind not in DIRECTIONS:
        raise ValueError(
            f"expected.metric={metric}: say whether it is better when lower or higher: "
            "expected.mode=min or expected.mode=max"
        )
    return mode_of(metric, given, own)
