"""What the plots of a report share: labels, axes for swept numbers, limits without outliers."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric, short
from resnet_lab.reporting.run_record import RunRecord

WIDTH = 6.6  # inches
INK = "#000000"
REST = "#bfbfbf"  # grey of lines and points without a label
LOGARITHMIC_FROM = 8  # least ratio of largest to smallest value for a logarithmic axis
TICKED = 8  # up to so many values, each gets a tick
LONGEST = 34  # characters of a name in a plot
LONGEST_KEY = 48  # characters of a swept key in a plot
FAR = 10  # an outlier is further from the median than this many median deviations
SQUEEZED = 0.25  # outliers are cut off where the others fill less of the axis than this
MARGIN = 0.06
NAMED = 8  # outliers that are shown with their value
COLOUR_CAPTION = " Values beyond the ends of the colours have the same colour as the end."


class Plot(NamedTuple):
    """A figure with title and caption."""

    title: str
    caption: str
    figure: Figure


class Mark(NamedTuple):
    """A point that may lie beyond the limits of an axis."""

    across: float  # coordinate on the other axis
    value: float
    colour: str


def names_in_plots(groups: Sequence[Group]) -> list[str]:
    """Name each group, best first: by its settings, or by its rank if these are long."""
    labels = [group.label for group in groups]
    if max(map(len, labels)) <= LONGEST:
        return labels
    return [f"rank {number + 1}" for number in range(len(groups))]


def values_of(jobs: Sequence[RunRecord], metric: Metric) -> list[float]:
    """Return the best value of each job, in the unit that is shown."""
    return [metric.scaled(job.value) for job in jobs if job.value is not None]


def means_of(groups: Sequence[Group], metric: Metric) -> list[float]:
    """Return the mean of each group, in the unit that is shown."""
    return [metric.scaled(group.metric.mean) for group in groups if group.metric]


def numbers_of(groups: Sequence[Group], key: str) -> list[float]:
    """Return each group's value of a swept number."""
    return [float(group.settings[key]) for group in groups]


def ordered(board: Leaderboard, key: str) -> list[str]:
    """Sort the values of a key that have a result, by size or by name."""
    values = {group.settings[key] for group in board.ranked}
    return sorted(values, key=float if board.numbers(key) else None)


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
        axes.set(**{f"{which}scale": "log"})
        if max(values) < 100 * min(values):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    marks = sorted(set(values))
    if ticks and len(marks) <= TICKED:
        axis.set_ticks(marks, [short(f"{mark:g}") for mark in marks])
        axis.set_ticks([], minor=True)


def robust_limits(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the range of the values without outliers, or None to show all values.

    Median and median deviation decide, which a minority of outliers cannot move.
    """
    if not values:
        return None
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    near = [value for value in values if abs(value - middle) <= FAR * deviation]
    low, high = min(near), max(near)
    if high == low or high - low > SQUEEZED * (max(values) - min(values)):
        return None
    return low, high


def clip(axes: Axes, which: str, marks: Iterable[Mark]) -> str:
    """Set robust limits on an axis, "x" or "y", and mark the outliers at the edge.

    Of several marks at one place, only the first is labelled. Returns a sentence for the caption;
    empty where all values fit.
    """
    marks = list(marks)
    limits = robust_limits([mark.value for mark in marks])
    if limits is None:
        return ""
    margin = MARGIN * (limits[1] - limits[0])
    low, high = limits[0] - margin, limits[1] + margin
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    beyond = [mark for mark in marks if not low <= mark.value <= high]
    first = {(mark.across, mark.colour, mark.value > high): mark for mark in reversed(beyond)}
    for number, mark in enumerate(first.values()):
        above = mark.value > high
        inwards = -1 if above else 1
        place, shape = (mark.across, high if above else low), "v^"[above]
        offset, alignment = (7, 3 * inwards), ("left", "top" if above else "bottom")
        if which == "x":
            place, shape = place[::-1], "<>"[above]
            offset, alignment = (9 * inwards, 0), ("right" if above else "left", "center")
        axes.plot(*place, shape, color=mark.colour, markersize=8, clip_on=False, zorder=5)
        if number < NAMED:
            axes.annotate(
                f"{mark.value:.4g}", place, xytext=offset, textcoords="offset points",
                fontsize=8.5, ha=alignment[0], va=alignment[1],
            )  # fmt: skip
    return " A triangle at the edge is a value beyond it."
