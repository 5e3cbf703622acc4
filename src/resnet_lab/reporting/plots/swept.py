"""The metric against one or two swept keys, numbers or categories, and against time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_lab.reporting.plots import drawing
from resnet_lab.reporting.plots.drawing import Mark, Plot, clip, key_label, means_of, number_axis
from resnet_lab.reporting.plots.figure import COLOURS, in_legend, look, new_axes, tidy
from resnet_lab.reporting.ranking.board import Leaderboard

CELLS = 12  # most values along one side of a heat map
LINES = len(COLOURS)  # most lines in one plot against a number
ROWS = 30  # most rows of a plot by category
ON_LIGHT = "#111111"  # text on light cells of a heat map
WORTH_A_TRADE = 1.15  # the longest training takes at least this times the shortest


def against_number(board: Leaderboard, key: str, by: str | None = None) -> Plot | None:
    """Draw the metric against a swept number, with a line for each value of another key."""
    metric = board.metric
    kinds = list(dict.fromkeys(group.settings[by] for group in board.ranked)) if by else [""]
    if len(kinds) > LINES:
        return None
    alone = all(len(group.ranked) == 1 for group in board.ranked)
    joined = not alone or len(board.ranked) <= CELLS  # a line through many single seeds is a zigzag
    figure, axes = new_axes(drawing.WIDTH, 3.7 + (0.3 if by else 0))
    means_drawn, seeds_drawn = [], []
    for number, kind in enumerate(kinds):
        groups = [group for group in board.ranked if by is None or group.settings[by] == kind]
        groups.sort(key=lambda group: float(group.settings[key]))
        style, xs, means = look(number), drawing.numbers_of(groups, key), means_of(groups, metric)
        for x, mean, group in zip(xs, means, groups, strict=True):
            seeds = drawing.values_of(group.ranked, metric)
            seeds_drawn += [Mark(x, seed, style["color"]) for seed in seeds]
            means_drawn.append(Mark(x, mean, style["color"]))
            if not group.sound:
                axes.annotate("*", (x, mean), textcoords="offset points", xytext=(5, 2))
            if len(seeds) > 1:
                open_marks = style | {"markersize": 4, "markerfacecolor": "none", "alpha": 0.5}
                axes.plot([x] * len(seeds), seeds, linestyle="none", **open_marks)
        line = {"linewidth": 1.7} if joined else {"linestyle": "none"}
        axes.plot(xs, means, label=in_legend(drawing.shortened(kind)), **style, **line)
    number_axis(axes, "x", drawing.numbers_of(board.ranked, key))
    tidy(axes, key_label(key), metric.axis_label)
    if by:
        figure.legend(
            title=key_label(by), loc="outside lower center", ncols=min(len(kinds), 4), frameon=False
        )
    caption = "One seed each." if alone else "Open marks are seeds; the lines join their means."
    caption += clip(axes, "y", [*means_drawn, *seeds_drawn]) + drawing.lost_jobs(board.ranked)
    title = f"{metric.full_name} against {key}" + (f" and {by}" if by else "")
    return Plot(drawing.sentence(title), caption, figure)


def against_category(board: Leaderboard, key: str) -> Plot:
    """Draw seeds, mean and interval of each value of a key, the best on top."""
    groups, metric = board.ranked[:ROWS], board.metric
    colour = look(0)["color"]
    figure, axes = new_axes(drawing.WIDTH, 1.1 + 0.42 * len(groups))
    marks = []
    for row, group in enumerate(groups):
        mean, seeds = means_of([group], metric), drawing.values_of(group.ranked, metric)
        axes.plot(seeds, [row] * len(seeds), "o", color=colour, alpha=0.55, markersize=6)
        axes.plot(mean, [row], "|", color=drawing.INK, markersize=17, mew=2)
        marks += [Mark(row, value, colour) for value in (*mean, *seeds)]
    clipped = clip(axes, "x", marks)
    inside = axes.get_xlim()  # kept: wide intervals of few seeds would squeeze the points
    intervals = False
    for row, group in enumerate(groups):
        if group.metric and group.metric.low is not None and group.metric.high is not None:
            ends = [metric.scaled(end) for end in (group.metric.low, group.metric.high)]
            axes.plot(ends, [row, row], color=drawing.INK, linewidth=1.1, zorder=1)
            intervals = True
    axes.set_xlim(inside)
    names = [drawing.shortened(group.settings[key]) + " *" * (not group.sound) for group in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    tidy(axes, metric.axis_label, key_label(key), grid="both")
    caption = "A dot is a seed, the upright bar the mean"
    caption += ", the line its 95 % interval, which may leave the picture." if intervals else "."
    caption += clipped + drawing.lost_jobs(groups)
    return Plot(drawing.sentence(f"{metric.full_name} by {key}"), caption, figure)


def heat_map(board: Leaderboard, first: str, second: str) -> Plot | None:
    """Draw the mean of the metric for every pair of values of two keys, if half have a result."""
    metric, down, across = (
        board.metric,
        drawing.ordered(board, first),
        drawing.ordered(board, second),
    )
    if len(down) > len(across):
        first, second, down, across = second, first, across, down
    cells: NDArray[np.float64] = np.full((len(down), len(across)), np.nan)
    digits = 1 if metric.is_accuracy else 3
    texts: dict[tuple[int, int], str] = {}
    for group in board.ranked:
        assert group.metric is not None
        place = down.index(group.settings[first]), across.index(group.settings[second])
        cells[place] = metric.scaled(group.metric.mean)
        texts[place] = f"{cells[place]:.{digits}f}" + "*" * (not group.sound)
        if group.metric.std is not None:
            std = metric.deviation(group.metric.std, digits) if group.metric.std else "0"
            texts[place] += f"\n± {std}"
    filled = np.isfinite(cells)
    if min(cells.shape) < 2 or max(cells.shape) > CELLS or filled.mean() < 0.5:
        return None
    spreads = ["±" in text for text in texts.values()]
    names, rows = ([drawing.shortened(value) for value in values] for values in (across, down))
    longest, slanted = max(map(len, names)), max(map(len, names)) > 8
    figure, axes = new_axes(
        max(3.2, 1.0 + 0.08 * max(map(len, rows)) + 0.78 * len(names)),
        1.3 + (0.54 if any(spreads) else 0.44) * len(rows) + 0.05 * slanted * longest,
    )
    clipped = drawing.robust_limits(cells[filled].tolist())
    low, high = clipped or (float(np.nanmin(cells)), float(np.nanmax(cells)))
    axes.pcolormesh(
        cells, cmap="Blues" if metric.sign > 0 else "Blues_r", vmin=low, vmax=high,
        edgecolors="white", linewidth=2,
    )  # fmt: skip
    for (row, column), text in sorted(texts.items()):
        share = (cells[row, column] - low) / (high - low) if high > low else 0.0
        dark = (share if metric.sign > 0 else 1 - share) > 0.62
        axes.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9,
            color="white" if dark else ON_LIGHT,
        )  # fmt: skip
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(np.arange(len(names)) + 0.5, names, **turned if slanted else {})
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.tick_params(length=0)
    axes.set(frame_on=False, xlabel=key_label(second), ylabel=key_label(first))
    caption = f"{drawing.sentence(metric.axis_label)}, the mean over seeds"
    caption += " ± standard deviation" if any(spreads) else ""
    caption += " (none: one seed)" if any(spreads) and not all(spreads) else ""
    caption += "; the stronger the colour, the better."
    caption += "" if filled.all() else " An empty cell has no result."
    caption += drawing.COLOUR_CAPTION * (clipped is not None) + drawing.lost_jobs(board.ranked)
    return Plot(drawing.sentence(f"{metric.full_name} by {first} and {second}"), caption, figure)


def landscape(board: Leaderboard, first: str, second: str) -> Plot | None:
    """Draw the settings as points in the plane of two numbers, coloured by the metric."""
    if len(board.ranked) < 5:
        return None
    groups, metric = list(reversed(board.ranked)), board.metric  # the best drawn last, on top
    figure, axes = new_axes(drawing.WIDTH, 4.4)
    xs, ys = drawing.numbers_of(groups, first), drawing.numbers_of(groups, second)
    means = means_of(groups, metric)
    clipped = drawing.robust_limits(means)
    low, high = clipped or (min(means), max(means))
    points = axes.scatter(
        xs, ys, s=46, c=means, vmin=low, vmax=high, edgecolors="0.3", linewidths=0.5,
        cmap="viridis_r" if metric.sign > 0 else "viridis",
    )  # fmt: skip
    axes.plot(
        xs[-1], ys[-1], "o", markersize=13, markerfacecolor="none", color=drawing.INK, mew=1.5
    )
    number_axis(axes, "x", xs)
    number_axis(axes, "y", ys)
    axes.set(xlabel=key_label(first), ylabel=key_label(second))
    axes.spines[["top", "right"]].set_visible(False)
    figure.colorbar(points, ax=axes, label=metric.axis_label)
    title = drawing.sentence(f"{metric.full_name} over {first} and {second}")
    caption = "Each point is a setting; the ring is round the best."
    return Plot(title, caption + drawing.COLOUR_CAPTION * (clipped is not None), figure)


def time_against_metric(board: Leaderboard) -> Plot | None:
    """Draw the metric against the time of training, with the Pareto front.

    Returns:
        None where there is no trade-off: all take about as long, one setting is best in both, or
        the devices differ.
    """
    metric = board.metric
    groups = [group for group in board.ranked if group.seconds and group.sound]
    devices = {str(job.status.get("device")) for group in groups for job in group.ranked}
    times = [group.seconds or 0.0 for group in groups]
    if len(groups) < 3 or len(devices) > 1 or max(times) < WORTH_A_TRADE * min(times):
        return None
    longest = max(times)
    unit, scale = (
        ("h", 3600) if longest >= 3 * 3600 else ("min", 60) if longest >= 180 else ("s", 1)
    )
    times, values = [time / scale for time in times], means_of(groups, metric)
    front: list[int] = []
    for place in sorted(range(len(groups)), key=lambda place: times[place]):
        if not front or metric.sign * (values[place] - values[front[-1]]) > 0:
            front.append(place)
    if len(front) < 2:
        return None
    names = drawing.names_in_plots(groups)
    columns = max(1, 88 // (max(len(names[place]) for place in front) + 9))
    figure, axes = new_axes(drawing.WIDTH, 3.9 + 0.22 * -(-len(front) // columns))
    axes.plot(times, values, "o", color=drawing.REST, markeredgecolor="0.45", markersize=5.5)
    xs, ys = [times[place] for place in front], [values[place] for place in front]
    axes.step(xs, ys, where="post", color=drawing.REST, linewidth=1.2)
    for number, place in enumerate(front):
        axes.plot(
            times[place], values[place], linestyle="none", label=in_legend(names[place]),
            **{**look(number), "markersize": 7.5},
        )  # fmt: skip
    number_axis(axes, "x", times, ticks=False)
    axes.margins(y=0.08)
    clipped = clip(axes, "y", [Mark(*point, "0.45") for point in zip(times, values, strict=True)])
    tidy(axes, f"time of training, mean over seeds ({unit})", metric.axis_label)
    caption = (
        f"No setting beats the {len(front)} on the line in both time and {metric.full_name} "
        "(Pareto front)."
    )
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    return Plot(f"Time against {metric.full_name}", caption + clipped, figure)
