"""One job of a sweep: what it was asked for and what it came to, as far as that is known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from resnet_lab.config import bears_on_result, flat, override_key
from resnet_lab.trust import read_config

STATES = ("done", "running", "pending", "interrupted", "pruned", "failed")


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a sweep, or one run.

    Attributes:
        directory: of the run; a pending job has none yet.
        state: one of `STATES`; a run whose process is gone is interrupted, whatever it wrote.
        settings: what was overridden, by key; without the seed and what does not touch the result.
        status: the content of `status.json`, or what `sweep.json` knows in its form.
    """

    directory: Path
    state: str
    settings: Mapping[str, str]
    status: Mapping[str, Any] = field(repr=False)

    @property
    def monitor(self) -> str | None:
        """The metric that chose the best epoch."""
        monitor = _part(self.status, "best").get("monitor")
        return monitor if isinstance(monitor, str) else None

    @property
    def value(self) -> float | None:
        """Its best value."""
        return _number(_part(self.status, "best").get("value"))

    @property
    def epoch(self) -> int | None:
        """The epoch of that, counted from 0."""
        epoch = _part(self.status, "best").get("epoch")
        return epoch if isinstance(epoch, int) else None

    @property
    def test(self) -> float | None:
        """Accuracy on the test split, in [0, 1]."""
        return _number(_part(self.status, "test").get("acc"))

    @property
    def seconds(self) -> float | None:
        """Time of training."""
        return _number(self.status.get("seconds"))

    @property
    def error(self) -> str | None:
        """What went wrong, in one line."""
        error = self.status.get("error")
        return " ".join(str(error).split()) if error else None

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Every leaf of the configuration by its dotted key; empty where it cannot be read."""
        try:
            return flat(read_config(self.directory / "config.yaml"))
        except (OSError, ValueError, OmegaConfBaseException):
            return {}

    @cached_property
    def seed(self) -> int | None:
        """The seed, also where it was drawn."""
        typed = _settings(self.status.get("overrides")).get("seed")
        seed = typed if typed not in (None, "null") else self.config.get("seed")
        return int(seed) if seed is not None and str(seed).lstrip("-").isdigit() else None

    @property
    def sample(self) -> object:
        """What makes it a sample of its group: the seed; where that is not known, itself."""
        return self.directory if self.seed is None else self.seed

    def setting(self, key: str) -> str:
        """Return the value of a key, from the configuration where it was not overridden."""
        if key in self.settings:
            return self.settings[key]
        for name in (key, f"{key}.name"):  # the second for a group, as in data=cifar10
            if name in self.config:
                return as_typed(self.config[name])
        return "default"


def as_typed(value: Any) -> str:
    """Return a value as a person types it, in one form: `1e-3` and `0.0010` are both 0.001."""
    text = str(value).strip()
    if isinstance(value, bool) or text in ("True", "False", "None"):
        return {"True": "true", "False": "false", "None": "null"}[text]
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    number = as_number(text)
    if number is None:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def as_number(text: str) -> float | None:
    """Return the finite number that a value is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _settings(overrides: Any) -> dict[str, str]:
    if not isinstance(overrides, list):
        return {}
    typed = [item for item in overrides if isinstance(item, str)]
    return {override_key(item): as_typed(item.partition("=")[2]) for item in typed}


def result_settings(overrides: Any) -> dict[str, str]:
    """Return what was overridden, by key; without the seed and what does not touch the result."""
    return {
        key: value
        for key, value in _settings(overrides).items()
        if key != "seed" and bears_on_result(key)
    }


def _part(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = status.get(name)
    return part if isinstance(part, dict) else {}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
