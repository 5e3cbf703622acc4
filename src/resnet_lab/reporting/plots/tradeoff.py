"""The metric against the time of training, with the settings that no other beats in both."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from resnet_lab.reporting.plots.clipping import Mark, clip
from resnet_lab.reporting.plots.drawing import (
    REST,
    WIDTH,
    Plot,
    full_name,
    means_of,
    metric_label,
    names_in_plots,
    number_axis,
)
from resnet_lab.reporting.plots.figure import literal_texts, look, new_figure, tidy
from resnet_lab.reporting.ranking.board import Leaderboard

WORTH_A_TRADE = 1.15  # the longest training takes at least this times the shortest

# Where a label may stand, best first: offset in points right and up, and its alignment.
PLACES = (
    (-6, 5, "right", "bottom"), (8, -6, "left", "top"), (7, 5, "left", "bottom"),
    (-7, -6, "right", "top"), (-6, 17, "right", "bottom"), (8, -18, "left", "top"),
    (7, 17, "left", "bottom"), (-7, -18, "right", "top"), (0, 29, "center", "bottom"),
    (0, -30, "center", "top"),
)  # fmt: skip


def time_against_metric(board: Leaderboard) -> Plot | None:
    """Draw the metric against the time of training, with the Pareto front.

    Returns:
        None where there is no trade-off: all take about as long, one setting is best in both, or
        the devices differ.
    """
    groups = [group for group in board.ranked if group.seconds and group.sound]
    devices = {str(job.status.get("device")) for group in groups for job in group.ranked}
    times = [group.seconds or 0.0 for group in groups]
    if len(groups) < 3 or len(devices) > 1 or max(times) < WORTH_A_TRADE * min(times):
        return None
    unit, scale = "h", 3600
    if max(times) < 3 * 3600:
        unit, scale = ("min", 60) if max(times) >= 3 * 60 else ("s", 1)
    times = [time / scale for time in times]
    values = means_of(groups, board.metric)
    front: list[int] = []
    for place in sorted(range(len(groups)), key=lambda place: times[place]):
        if not front or board.metric.sign * (values[place] - values[front[-1]]) > 0:
            front.append(place)
    if len(front) < 2:
        return None
    figure = new_figure(WIDTH, 4.0)
    axes = figure.subplots()
    axes.plot(times, values, "o", color=REST, markeredgecolor="0.45", markersize=5.5)
    xs, ys = [times[place] for place in front], [values[place] for place in front]
    colour = look(0)["color"]
    axes.step(xs, ys, where="post", color=colour, linewidth=1.2, alpha=0.7)
    axes.plot(xs, ys, "o", color=colour, markersize=7.5)
    number_axis(axes, "x", times, ticks=False)
    axes.margins(y=0.08)
    grey = [Mark(*point, "0.45") for point in zip(times, values, strict=True)]
    clipped = clip(axes, "y", grey)
    names = names_in_plots(groups)
    axes.set_xlabel(f"time of training, mean over seeds ({unit})")
    axes.set_ylabel(metric_label(board.metric))
    tidy(axes)
    what = full_name(board.metric)
    caption = (
        f"No setting beats the {len(front)} on the line in both time and {what} (Pareto front)."
    )
    label_points(axes, [names[place] for place in front], xs, ys)
    caption += clipped
    return Plot(f"Time against {what}", caption, figure)


def label_points(
    axes: Axes, names: Sequence[str], xs: Sequence[float], ys: Sequence[float]
) -> None:
    """Label every point where the label covers least of the other labels and points.

    Args:
        axes: with everything else drawn and its limits set.
        names: labels of the points.
        xs: their coordinates.
        ys: their coordinates.
    """
    figure = axes.figure
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    figure.draw_without_rendering()  # type: ignore[union-attr]  # lays out the axes
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    inside = axes.get_window_extent(renderer)
    low, high = axes.get_ylim()
    ys = [min(max(y, low), high) for y in ys]  # outliers are marked at the edge
    points = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in np.concatenate(points)]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    for name, x, y in zip(reversed(names), reversed(xs), reversed(ys), strict=True):
        label = axes.annotate(
            name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=8.5, parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
        label.set_in_layout(False)
        costs: list[float] = []
        for place in PLACES:
            box = _move(label, place, renderer)
            outside = box.width * box.height - _overlap(box, inside)
            costs.append(sum(_overlap(box, other) for other in taken) + 3 * outside)
            if costs[-1] < 1:  # square pixels
                break
        taken.append(_move(label, PLACES[int(np.argmin(costs))], renderer))


def _move(label: Annotation, place: tuple[float, float, Any, Any], renderer: RendererBase) -> Bbox:
    """Move a label to one of `PLACES` and return its extent."""
    right, up, horizontal, vertical = place
    label.xyann = (right, up)
    label.set(ha=horizontal, va=vertical)
    with literal_texts():
        return label.get_window_extent(renderer)


def _overlap(first: Bbox, second: Bbox) -> float:
    both = Bbox.intersection(first, second)
    return both.width * both.height if both is not None else 0.0
