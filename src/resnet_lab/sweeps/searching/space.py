"""Read Hydra's sweep syntax as a search space of Optuna.

| override | what is tried |
| --- | --- |
| `interval(a,b)` | any number from a to b; `tag(log,interval(a,b))` on a logarithmic scale |
| `int(interval(a,b))` | integers from a to b; with `tag(log,...)` on a logarithmic scale |
| `range(a,b,step)` | a, a + step, ... below b, as in a grid |
| `a,b,c`, `choice(a,b,c)`, `glob(*)` | one of them, without an order |
| `a` | a, in every trial |
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna import Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from resnet_lab.core.configuration.config import bears_on_result, override_key

Range = CategoricalDistribution | IntDistribution | FloatDistribution

DIGITS = 6  # of a number that is tried, so that it can be read and typed again


class Space(NamedTuple):
    """What a search tries; keys have their `+`."""

    ranges: dict[str, Range]
    fixed: dict[str, str]  # values of the other overrides

    @classmethod
    def read(cls, overrides: Iterable[Override]) -> "Space":
        """Read overrides; of two for one key the later one counts."""
        last = {override.get_key_element(): override for override in overrides}
        swept = {key: override for key, override in last.items() if override.is_sweep_override()}
        if not swept:
            raise ValueError(
                "there is no range to search: give one, as in "
                "'optimizer.lr=tag(log,interval(1e-3,1))'"
            )
        for key in swept:
            if not bears_on_result(override_key(key)):
                raise ValueError(f"{key} cannot be searched: no result depends on it")
        fixed = {key: override for key, override in last.items() if key not in swept}
        return cls(
            ranges={key: _range(override) for key, override in swept.items()},
            fixed={key: each.get_value_element_as_str() for key, each in fixed.items()},
        )

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Let the sampler choose a value of each range, unless the trial has one."""
        return {key: _suggest(trial, key, each) for key, each in self.ranges.items()}

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        return [f"{key}={value}" for key, value in self.fixed.items()] + self.tried(values)

    def tried(self, values: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a trial that the sampler chose."""
        return [f"{key}={_text(values[key])}" for key in self.ranges]

    def extremes(self) -> list[dict[str, Any]]:
        """Return values that together try both ends of each range, and each choice."""
        ends: dict[str, Sequence[Any]] = {}
        for key, each in self.ranges.items():
            if isinstance(each, CategoricalDistribution):
                ends[key] = each.choices
            else:
                ends[key] = (each.low, each.high)
        return [
            {key: values[number % len(values)] for key, values in ends.items()}
            for number in range(max(map(len, ends.values())))
        ]

    def grid(self) -> dict[str, list[Any]]:
        """Return every value of each range; raise a ValueError if a range has no end of them."""
        return {key: _every_value(key, each) for key, each in self.ranges.items()}

    @property
    def points(self) -> int:
        return math.prod(map(len, self.grid().values()))

    def described(self) -> dict[str, str]:
        """Describe what is tried by key, of the keys that results depend on."""
        found = {key: _described(each) for key, each in self.ranges.items()} | self.fixed
        return {key: text for key, text in found.items() if bears_on_result(override_key(key))}


def _range(override: Override) -> Range:
    sweep, text = override.value(), override.input_line
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {"log"} or (tags and not isinstance(sweep, IntervalSweep)):
        raise ValueError(f"{text}: the one tag that a search knows is tag(log,interval(...))")
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None
        assert high is not None
        if not -math.inf < low <= high < math.inf:
            raise ValueError(f"{text}: no number lies there; give the lower end first")
        if tags and low <= 0:
            raise ValueError(f"{text}: a logarithmic interval begins above 0")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=bool(tags))
        return FloatDistribution(low, high, log=bool(tags))
    if isinstance(sweep, RangeSweep):
        values = sorted(sweep.range())
        if not values:
            raise ValueError(f"{text}: the range is empty")
        low, high, step = values[0], values[-1], abs(sweep.step)
        if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
            return IntDistribution(low, high, step=step)
        return FloatDistribution(_decimal(low), _decimal(high), step=_decimal(step))
    choices = list(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise ValueError(f"{text}: there is nothing of that name")
    return CategoricalDistribution(choices)


def _suggest(trial: Trial, key: str, each: Range) -> Any:
    if isinstance(each, CategoricalDistribution):
        return trial.suggest_categorical(key, each.choices)
    if isinstance(each, IntDistribution):
        return trial.suggest_int(key, each.low, each.high, step=each.step, log=each.log)
    return trial.suggest_float(key, each.low, each.high, step=each.step, log=each.log)


def _every_value(key: str, each: Range) -> list[Any]:
    if isinstance(each, CategoricalDistribution):
        return list(each.choices)
    if isinstance(each, IntDistribution):
        return list(range(each.low, each.high + 1, each.step))
    if each.step is None:
        raise ValueError(
            f"{key}: a grid cannot try every number {_described(each)}; name the values, as in "
            f"{key}={each.low},{each.high}, or use hydra.sweeper.sampler=tpe"
        )
    count = round((each.high - each.low) / each.step) + 1
    return [_decimal(each.low + number * each.step) for number in range(count)]


def _described(each: Range) -> str:
    if isinstance(each, CategoricalDistribution):
        return "one of " + ", ".join(map(str, each.choices))
    steps = f" in steps of {each.step}" if each.step not in (None, 1) else ""
    return f"from {each.low} to {each.high}{steps}{', logarithmic' if each.log else ''}"


def _text(value: Any) -> str:
    return repr(float(f"{value:.{DIGITS}g}")) if isinstance(value, float) else str(value)


def _decimal(value: float) -> float:
    """Return a number without the noise of adding tenths in binary."""
    return float(f"{value:.12g}")
