"""Axis limits robust to outliers, which are marked at the edge with their value."""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

FAR = 10  # an outlier is further from the median than this many median deviations
SQUEEZED = 0.25  # outliers are cut off where the others fill less of the axis than this
MARGIN = 0.06
NAMED = 8  # outliers that are shown with their value
CAPTION = " A triangle at the edge is a value beyond it."
COLOUR_CAPTION = " Values beyond the ends of the colours have the same colour as the end."


class Mark(NamedTuple):
    """A point that may lie beyond the limits of an axis."""

    across: float  # coordinate on the other axis
    value: float
    colour: str


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
        edge = high if above else low
        x, y = (edge, mark.across) if which == "x" else (mark.across, edge)
        shape = {"x": "<>", "y": "v^"}[which][above]
        axes.plot([x], [y], shape, color=mark.colour, markersize=8, clip_on=False, zorder=5)
        if number < NAMED:
            inwards = -1 if above else 1
            axes.annotate(
                f"{mark.value:.4g}", (x, y), textcoords="offset points", fontsize=8.5,
                xytext=(9 * inwards, 0) if which == "x" else (7, 3 * inwards),
                ha=("right" if above else "left") if which == "x" else "left",
                va="center" if which == "x" else ("top" if above else "bottom"),
            )  # fmt: skip
    return CAPTION
