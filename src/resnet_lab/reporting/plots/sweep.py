"""The plots of a sweep, chosen by what was swept; one that would show nothing is left out."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from resnet_lab.reporting.board import Group, Leaderboard, Metric
from resnet_lab.reporting.plots.clipping import Mark, clip, robust_limits
from resnet_lab.reporting.plots.curves import (
    COLOURS,
    finish_curves,
    in_legend,
    look,
    new_figure,
    read_curves,
    tidy,
)
from resnet_lab.reporting.plots.drawing import (
    REST,
    WIDTH,
    Plot,
    full_name,
    means_of,
    metric_label,
    names_in_plots,
    number_axis,
    sentence,
    split_name,
)
from resnet_lab.reporting.plots.labels import label_points
from resnet_lab.reporting.plots.panels import side_by_side
from resnet_lab.reporting.plots.search import importance, parallel_coordinates
from resnet_lab.reporting.plots.swept import against_category, against_number, heat_map, landscape

COLOURED = len(COLOURS)  # groups whose curves are told apart
WORTH_A_TRADE = 1.15  # times the shortest training that the longest takes


def chosen_plots(board: Leaderboard, *, search: bool = False) -> list[Plot]:
    """Return the plots that say something about what was swept.

    Args:
        board: the leaderboard.
        search: whether a sweeper chose the values, rather than a grid.
    """
    plots = [learning_curves(board)]
    if len(board.ranked) > 1:
        numbers = [key for key in board.keys if board.numbers(key)]
        words = [key for key in board.keys if key not in numbers]
        match len(numbers), len(words):
            case 1, 0:
                plots.append(against_number(board, numbers[0]))
            case 0, 1:
                plots.append(against_category(board, words[0]))
            case 1, 1:
                plots.append(side_by_side(board, words[0], numbers[0]))
                plots.append(against_number(board, numbers[0], words[0]))
                plots.append(heat_map(board, words[0], numbers[0]))
            case 2, 0:
                plots.append(heat_map(board, *numbers) or landscape(board, *numbers))
            case 0, 2:
                plots.append(heat_map(board, *words))
        if search or len(board.keys) > 2:
            plots += [parallel_coordinates(board), importance(board)]
        plots.append(time_against_metric(board))
    return [plot for plot in plots if plot is not None]


def learning_curves(board: Leaderboard) -> Plot | None:
    """Draw the curve of each group over the epochs, the mean of its seeds and all that they span.

    A group without a result shows what its jobs have so far, in grey where others have one.
    """
    metric = board.metric
    curves = [(group, _curves(group, metric)) for group in board.groups]
    curves = [(group, by_epoch) for group, by_epoch in curves if by_epoch]
    if max((max(by_epoch) for _, by_epoch in curves), default=0) < 2:
        return None
    results = sum(group.metric is not None for group, _ in curves) or len(curves)
    named, rest = curves[: min(COLOURED, results)], curves[min(COLOURED, results) :]
    labels = names_in_plots([group for group, _ in named])
    columns = max(1, min(4, 88 // (max(map(len, labels)) + 9)))
    figure = new_figure(WIDTH, 3.9 + 0.22 * -(-len(labels) // columns))
    axes = figure.subplots()
    for _, by_epoch in rest:
        axes.plot(*_mean_curve(by_epoch), color=REST, linewidth=0.8)
    banded = False
    for number, (_, by_epoch) in reversed(list(enumerate(named))):  # the best on top
        epochs, means = _mean_curve(by_epoch)
        style = look(number)
        if any(len(values) > 1 for values in by_epoch.values()):
            banded = True
            low, high = ([bound(by_epoch[epoch]) for epoch in epochs] for bound in (min, max))
            axes.fill_between(epochs, low, high, color=style["color"], alpha=0.14, linewidth=0)
        axes.plot(epochs, means, markevery=max(1, len(epochs) // 10), linewidth=1.7, **style)
    what = f"{split_name(metric)} error" if metric.is_accuracy else full_name(metric)
    finish_curves(axes, metric.with_unit(what))
    clipped = _clip_curves(axes)
    handles = [Line2D([], [], label=in_legend(name), **look(i)) for i, name in enumerate(labels)]
    if len(labels) > 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    caption = f"{sentence(what)} against the epoch, on a logarithmic scale"
    caption += ": the mean over seeds, the band from the lowest to the highest." if banded else "."
    caption += clipped
    if rest:
        verb = "is" if len(rest) == 1 else "are"
        caption += f" The best {len(named)} have a colour, {len(rest)} more {verb} grey."
    return Plot("Learning curves", caption, figure)


def time_against_metric(board: Leaderboard) -> Plot | None:
    """Draw the metric against the time that it took, with the groups that none beats in both.

    Times on different devices do not compare; where all take as long, or one is the best in both,
    there is nothing to choose.
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


def _curves(group: Group, metric: Metric) -> dict[int, list[float]]:
    """Return the values of each epoch over the seeds, as error where the metric is an accuracy."""
    by_epoch: dict[int, list[float]] = {}
    for job in group.ranked or group.jobs:
        try:
            epochs, values = read_curves(job.directory / "metrics.csv").get(metric.name, ([], []))
        except ValueError:  # none, or none yet
            continue
        for epoch, value in zip(epochs, values, strict=True):
            if math.isfinite(value):
                shown = 100 * (1 - value) if metric.is_accuracy else value
                by_epoch.setdefault(epoch, []).append(shown)
    return by_epoch


def _mean_curve(by_epoch: dict[int, list[float]]) -> tuple[list[int], list[float]]:
    epochs = sorted(by_epoch)
    return epochs, [sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in epochs]


def _clip_curves(axes: Axes) -> str:
    """Cut off curves that went far beyond the others; on a logarithmic scale, as they are drawn."""
    heights = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    logarithms = np.log10(heights[heights > 0]).tolist()
    limits = robust_limits(logarithms)
    if limits is None or axes.get_yscale() != "log":
        return ""
    margin = 0.06 * (limits[1] - limits[0])
    axes.set_ylim(10 ** (limits[0] - margin), 10 ** (limits[1] + margin))
    lowest, highest = min(logarithms), max(logarithms)
    far = [value for value in (lowest, highest) if not limits[0] <= value <= limits[1]]
    return f" Curves that leave the picture reach {' and '.join(f'{10**v:.3g}' for v in far)}."
