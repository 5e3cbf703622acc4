"""What a finding is: measure, judge, draw; and how a verdict comes about.

A finding is a module of this package:

- its docstring: paper, method, cost, pitfalls; `TITLE`, `PAPER`, `NEEDS`, `MINUTES`, `EXPLAINED`
- `IMAGES`: how many it takes unless told (None: all of the split); `UNTRAINED`: whether it is of
  untrained networks too; `OF_SWEEPS`: whether its subjects are sweeps (`SweepSubject`)
- `measure(subjects, options) -> dict` computes; only this touches torch, and the result is JSON
- `judge(measured) -> list[Check]` compares with the constants of the file
- `draw(measured) -> list[Plot]`

So a judgement or a picture can be made again from the JSON.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.statistics import shifted_interval

NAMES = (
    "calibration", "lesion", "paths", "signal", "shattered", "refinement", "landscape", "norm_free",
)  # fmt: skip
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
UNDECIDED, NOT_APPLICABLE = "undecided", "not applicable"
RESAMPLES = 1000

Measured = dict[str, Any]
Interval = dict[str, float]  # value, low, high
Statistic = Callable[[NDArray[np.int64]], float]  # of the indices of what was drawn


class Options(NamedTuple):
    """What a person may choose."""

    images: int | None = None  # how many; None: what the finding takes
    draws: int = 10  # how often a random choice is repeated
    seed: int = 0  # of all of them
    say: Callable[[str], None] = lambda step: None  # called with each step


class Check(NamedTuple):
    """One comparison with a threshold."""

    name: str  # what is compared
    subject: str  # of which network
    at: str  # "at least", "at most" or "above"
    threshold: float  # P, from a published figure, or C, our own
    source: str  # "P" or "C"
    found: Interval | None  # value with its 95 % interval; None: not applicable
    control: bool = False  # of which the finding must come out the other way
    reason: str = ""  # why it is not applicable

    @property
    def verdict(self) -> str:
        """The verdict: the whole interval meets the threshold, all of it misses, or neither."""
        if self.found is None:
            return NOT_APPLICABLE
        ends = self.found["low"], self.found["high"]
        if any(end != end for end in ends):
            return UNDECIDED
        met = [end <= self.threshold if self.at == "at most" else
               end >= self.threshold if self.at == "at least" else
               end > self.threshold for end in ends]  # fmt: skip
        return REPRODUCED if all(met) else UNDECIDED if any(met) else NOT_REPRODUCED


class Finding(Protocol):
    """The module of a finding; see the top of this file."""

    __doc__: str | None
    TITLE: str
    PAPER: str
    NEEDS: str
    MINUTES: str
    EXPLAINED: str
    IMAGES: int | None
    UNTRAINED: bool
    OF_SWEEPS: bool
    measure: Callable[[Sequence[Any], Options], Measured]
    judge: Callable[[Measured], list[Check]]
    draw: Callable[[Measured], list[Plot]]


def verdict(checks: Sequence[Check]) -> str:
    """Return the verdict of a finding: the worst of its checks, controls among them."""
    if all(check.control or check.verdict == NOT_APPLICABLE for check in checks):
        return NOT_APPLICABLE
    found = {check.verdict for check in checks}
    return next(each for each in (NOT_REPRODUCED, UNDECIDED, REPRODUCED) if each in found)


def stated(checks: Sequence[Check]) -> str:
    """State the verdict, and that of each network where they differ."""
    whole = verdict(checks)
    of_each = {
        name: verdict([check for check in checks if check.subject == name])
        for name in dict.fromkeys(check.subject for check in checks if not check.control)
    }
    if {*of_each.values()} <= {whole}:
        return whole.capitalize()
    return (
        f"{whole.capitalize()} ({'; '.join(f'{name}: {each}' for name, each in of_each.items())})"
    )


def line(y: NDArray[Any], x: NDArray[Any] | None = None) -> tuple[float, float]:
    """Return slope and R^2 (1 if level) of a line through values, at 0, 1, ... unless told."""
    x = np.arange(len(y)) if x is None else x
    slope, offset = np.polyfit(x, y, 1)
    spread, rest = ((y - y.mean()) ** 2).sum(), ((y - slope * x - offset) ** 2).sum()
    return float(slope), 1 - float(rest / spread) if spread > 1e-9 else 1.0


def bootstrap(
    statistic: Statistic, count: int, seed: int, resamples: int = RESAMPLES, *, biased: bool = False
) -> Interval:
    """Return a statistic of `count` things with the 95 % interval of its bootstrap.

    That of a `biased` one, which is never negative, is shifted by its bias.
    """
    random = np.random.default_rng(seed)
    found = [statistic(random.integers(0, count, count)) for _ in range(resamples)]
    value = float(statistic(np.arange(count)))
    if biased:
        low, high = shifted_interval(found, value)
        return {"value": value, "low": max(0.0, low), "high": high}
    low, high = np.nanquantile(found, [0.025, 0.975]).tolist()
    return {"value": value, "low": low, "high": high}
