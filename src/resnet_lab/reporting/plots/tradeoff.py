"""The metric against the time of training, with the settings that no other beats in both."""

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
from resnet_lab.reporting.plots.figure import in_legend, look, new_axes, tidy
from resnet_lab.reporting.ranking.board import Leaderboard

WORTH_A_TRADE = 1.15  # the longest training takes at least this times the shortest


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
    names = names_in_plots(groups)
    columns = max(1, 88 // (max(len(names[place]) for place in front) + 9))
    figure, axes = new_axes(WIDTH, 3.9 + 0.22 * -(-len(front) // columns))
    axes.plot(times, values, "o", color=REST, markeredgecolor="0.45", markersize=5.5)
    xs, ys = [times[place] for place in front], [values[place] for place in front]
    axes.step(xs, ys, where="post", color=REST, linewidth=1.2)
    for number, place in enumerate(front):
        axes.plot(
            times[place], values[place], linestyle="none", label=in_legend(names[place]),
            **{**look(number), "markersize": 7.5},
        )  # fmt: skip
    number_axis(axes, "x", times, ticks=False)
    axes.margins(y=0.08)
    grey = [Mark(*point, "0.45") for point in zip(times, values, strict=True)]
    clipped = clip(axes, "y", grey)
    axes.set_xlabel(f"time of training, mean over seeds ({unit})")
    axes.set_ylabel(metric_label(board.metric))
    tidy(axes)
    what = full_name(board.metric)
    caption = (
        f"No setting beats the {len(front)} on the line in both time and {what} (Pareto front)."
    )
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    return Plot(f"Time against {what}", caption + clipped, figure)
