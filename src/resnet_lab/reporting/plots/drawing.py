"""Shared by the plots of a report: width, labels, units, axes for swept numbers."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric, short
from resnet_lab.reporting.run_record import RunRecord

WIDTH = 6.6  # inches
INK = "#000000"
REST = "#bfbfbf"  # grey of lines and points without a label
GRID = "#e5e5e5"
LOGARITHMIC_FROM = 8  # least ratio of largest to smallest value for a logarithmic axis
TICKED = 8  # up to so many values, each gets a tick
LONGEST = 34  # characters of a name in a plot
LONGEST_KEY = 48  # characters of a swept key in a plot


class Plot(NamedTuple):
    """A figure with title and caption."""

    title: str
    caption: str
    figure: Figure


def names_in_plots(groups: Sequence[Group]) -> list[str]:
    """Name each group, best first: by its settings, or by its rank if these are long."""
    labels = [group.label for group in groups]
    if max(map(len, labels)) <= LONGEST:
        return labels
    return [f"rank {number + 1}" for number in range(len(groups))]


def split_name(metric: Metric) -> str:
    """Spell out the split of a metric."""
    split = metric.name.split("/")[0]
    return {"val": "validation", "train": "training"}.get(split, split)


def full_name(metric: Metric) -> str:
    """Spell out the name of a metric."""
    kind = metric.name.split("/")[-1]
    kinds = {"acc": "accuracy", "acc_top5": "top-5 accuracy", "loss": "cross-entropy"}
    return f"{split_name(metric)} {kinds.get(kind, kind)}"


def metric_label(metric: Metric) -> str:
    """Label an axis that shows the best value of each job."""
    return metric.with_unit(f"best {full_name(metric)}")


def scaled(value: float, metric: Metric) -> float:
    """Convert a value to the unit that is shown."""
    return 100 * value if metric.is_accuracy else value


def values_of(jobs: Sequence[RunRecord], metric: Metric) -> list[float]:
    """Return the best value of each job, in the unit that is shown."""
    return [scaled(job.value, metric) for job in jobs if job.value is not None]


def means_of(groups: Sequence[Group], metric: Metric) -> list[float]:
    """Return the mean of each group, in the unit that is shown."""
    return [scaled(group.metric.mean, metric) for group in groups if group.metric]


def numbers_of(groups: Sequence[Group], key: str) -> list[float]:
    """Return each group's value of a swept number."""
    return [float(group.settings[key]) for group in groups]


def lost_jobs(groups: Sequence[Group]) -> str:
    """Explain the stars of unsound settings in a caption; empty if there are none."""
    marked = any(not group.sound for group in groups)
    return " *: jobs diverged or were pruned; it is the mean of the others." if marked else ""


def sentence(text: str) -> str:
    """Capitalize the first letter."""
    return text[:1].upper() + text[1:]


def shortened(value: str) -> str:
    """Shorten a value to fit a tick label."""
    text = short(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def key_label(key: str) -> str:
    """Shorten a key to fit an axis label."""
    return key if len(key) <= LONGEST_KEY else f"{key[: LONGEST_KEY - 1]}…"


def is_logarithmic(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether numbers are spread over a logarithmic rather than a linear range."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < LOGARITHMIC_FROM:
        return False
    middle = statistics.median(values)
    linear = (middle - low) / (high - low)
    logarithmic = np.log(middle / low) / np.log(high / low)
    return bool(abs(logarithmic - 0.5) < abs(linear - 0.5))


def number_axis(axes: Axes, which: str, values: Sequence[float], *, ticks: bool = True) -> None:
    """Scale an axis for numbers: logarithmic if they are spread so, with ticks at few values."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    if is_logarithmic(values):
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        axis.set_minor_formatter(NullFormatter())
        if max(values) < 100 * min(values):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if ticks and len(set(values)) <= TICKED:
        axis.set_major_locator(FixedLocator(sorted(set(values))))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(f"{value:g}")))


def ordered(board: Leaderboard, key: str) -> list[str]:
    """Sort the values of a key that have a result, by size or by name."""
    values = {group.settings[key] for group in board.ranked}
    return sorted(values, key=float) if board.numbers(key) else sorted(values)
