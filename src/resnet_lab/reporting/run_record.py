"""The record of one run: its settings and its results, as far as they are known."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from resnet_lab.core.configuration.config import bears_on_result, override_key
from resnet_lab.core.configuration.recorded import LOADER, refuse_aliases, with_new_names
from resnet_lab.core.directions import headline
from resnet_lab.core.text import printable, printable_values

FOLD = "data.fold"
SECTION = re.compile(r"^(?=[^\s#-])", re.MULTILINE)  # start of a top-level key in YAML
DIVERGED = re.compile(r"\bdiverged\b|\breturned nan\b|\bis (nan|-?inf)\b", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The record of a job of a sweep, or of a single run."""

    directory: Path  # of the run; of a pending job, where it will be
    state: str  # one of `STATES`; a running run without a process is interrupted
    settings: Mapping[str, str]  # overrides that affect the result, without seed and fold
    status: Mapping[str, Any] = field(repr=False)  # `status.json`, or that of `sweep.json`

    @property
    def monitor(self) -> str | None:
        """The metric that selected the best epoch."""
        monitor = _part(self.status, "best").get("monitor")
        return monitor if isinstance(monitor, str) else None

    @property
    def value(self) -> float | None:
        """The best value of the monitor."""
        return as_finite(_part(self.status, "best").get("value"))

    @property
    def epoch(self) -> int | None:
        """The best epoch, counted from 1."""
        epoch = _part(self.status, "best").get("epoch")
        return epoch if isinstance(epoch, int) else None

    @property
    def mode(self) -> str | None:
        """The direction of the monitor, "min" or "max"; None if the run does not record it."""
        mode = _part(self.status, "best").get("mode", self.config.get("monitor_mode"))
        return mode if mode in ("min", "max") else None

    @property
    def diverged(self) -> bool:
        """Whether the training diverged, rather than failed for another reason."""
        return self.state == "failed" and bool(DIVERGED.search(self.error or ""))

    @property
    def test_metric(self) -> str:
        """The metric that its test is told by, such as acc; see `headline`."""
        return headline(self.tests or {"acc": None}, self.monitor or self.config.get("monitor"))

    @cached_property
    def tests(self) -> Mapping[str, float]:
        """Every metric of the test split, without intervals and values of single classes."""
        values = {name: as_finite(value) for name, value in _part(self.status, "test").items()}
        return {
            name: value
            for name, value in values.items()
            if value is not None and not re.search(r"/|_low$|_high$|^images$", str(name))
        }

    @property
    def seconds(self) -> float | None:
        """The time of training."""
        return as_finite(self.status.get("seconds"))

    @property
    def error(self) -> str | None:
        """The error in one line."""
        error = self.status.get("error")
        return " ".join(printable(error).split()) if error else None

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The leaves of the configuration by dotted key; empty if it cannot be read."""
        try:
            return _read_leaves(self.directory / "config.yaml")
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            return {}

    @cached_property
    def seed(self) -> int | None:
        """The seed, also a random one."""
        typed = _settings(self.status.get("overrides")).get("seed")
        seed = typed if typed not in (None, "null") else self.config.get("seed")
        return int(str(seed)) if re.fullmatch(r"-?[0-9]{1,20}", str(seed)) else None

    @property
    def fold(self) -> int | None:
        """The fold that it is validated on, in a cross-validation."""
        fold = self.config.get("data.fold", _settings(self.status.get("overrides")).get(FOLD))
        return int(str(fold)) if re.fullmatch(r"[0-9]{1,9}", str(fold)) else None

    @property
    def sample(self) -> object:
        """The identity of this sample within its group: the seed, or the directory if unknown.

        The folds of one seed are parts of one sample.
        """
        return self.directory if self.seed is None else self.seed

    def setting(self, key: str) -> str:
        """Return the value of a key: the override, or else from the configuration."""
        if key in self.settings:
            return self.settings[key]
        for name in (key, f"{key}.name"):  # the second for a group, as in data=cifar10
            if name in self.config:
                return as_typed(self.config[name])
        return "default"


def _read_leaves(path: Path) -> dict[str, Any]:
    """Read the leaves of a recorded configuration without resolving interpolations.

    OmegaConf takes fifteen times as long. Each distinct section is parsed once: the configurations
    of a sweep differ in a few lines.
    """
    text = path.read_text()
    leaves: dict[str, Any] = {}
    try:
        for section in SECTION.split(text):
            leaves.update(_section(section))
    except yaml.YAMLError:  # not written by us, and not separable into sections
        leaves.update(_section(text))
    return leaves


@lru_cache(maxsize=4096)
def _section(text: str) -> tuple[tuple[str, Any], ...]:
    refuse_aliases(text, "config.yaml")
    return tuple(_leaves(with_new_names(printable_values(yaml.load(text, LOADER)))))


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and (node or not prefix):
        for name, value in node.items():
            yield from _leaves(value, f"{prefix}.{name}" if prefix else str(name))
    elif prefix:
        yield prefix, node


def as_typed(value: Any) -> str:
    """Format a value in a canonical form: `1e-3` and `0.0010` are both 0.001."""
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
    """Parse a finite number; None if the text is none."""
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
    """Return overrides by key, without seed, fold and those that do not affect the result."""
    return {
        key: value
        for key, value in _settings(overrides).items()
        if key not in ("seed", FOLD) and bears_on_result(key)
    }


def _part(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = status.get(name)
    return part if isinstance(part, dict) else {}


def as_finite(value: Any) -> float | None:
    """Return a recorded finite number, or None if the value is something else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
