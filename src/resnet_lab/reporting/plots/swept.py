"""The metric against one or two swept keys, numbers or categories."""

import numpy as np

from resnet_lab.reporting.plots.clipping import COLOUR_CAPTION, Mark, clip, robust_limits
from resnet_lab.reporting.plots.drawing import (
    GRID,
    INK,
    WIDTH,
    Plot,
    full_name,
    key_label,
    lost_jobs,
    means_of,
    metric_label,
    number_axis,
    numbers_of,
    ordered,
    scaled,
    sentence,
    shortened,
    values_of,
)
from resnet_lab.reporting.plots.figure import COLOURS, in_legend, look, new_axes, new_figure, tidy
from resnet_lab.reporting.ranking.board import Leaderboard

CELLS = 12  # most values along one side of a heat map
LINES = len(COLOURS)  # most lines in one plot against a number
ROWS = 30  # most rows of a plot by category
ON_LIGHT = "#111111"  # text on light cells of a heat map


def against_number(board: Leaderboard, key: str, by: str | None = None) -> Plot | None:
    """Draw the metric against a swept number, with a line for each value of another key."""
    kinds = list(dict.fromkeys(group.settings[by] for group in board.ranked)) if by else [""]
    if len(kinds) > LINES:
        return None
    alone = all(len(group.ranked) == 1 for group in board.ranked)
    joined = not alone or len(board.ranked) <= CELLS  # a line through many single seeds is a zigzag
    figure, axes = new_axes(WIDTH, 3.7 + (0.3 if by else 0))
    means_drawn, seeds_drawn = [], []
    for number, kind in enumerate(kinds):
        groups = [group for group in board.ranked if by is None or group.settings[by] == kind]
        groups.sort(key=lambda group: float(group.settings[key]))
        style = look(number)
        for x, group in zip(numbers_of(groups, key), groups, strict=True):
            seeds = values_of(group.ranked, board.metric)
            seeds_drawn += [Mark(x, seed, style["color"]) for seed in seeds]
            (mean,) = means_of([group], board.metric)
            means_drawn.append(Mark(x, mean, style["color"]))
            if not group.sound:
                axes.annotate("*", (x, mean), textcoords="offset points", xytext=(5, 2))
            if len(seeds) > 1:
                open_marks = style | {"markersize": 4, "markerfacecolor": "none", "alpha": 0.5}
                axes.plot([x] * len(seeds), seeds, linestyle="none", **open_marks)
        means = means_of(groups, board.metric)
        line = {"linewidth": 1.7} if joined else {"linestyle": "none"}
        axes.plot(numbers_of(groups, key), means, label=in_legend(shortened(kind)), **style, **line)
    number_axis(axes, "x", numbers_of(board.ranked, key))
    axes.set_xlabel(key_label(key))
    axes.set_ylabel(metric_label(board.metric))
    tidy(axes)
    if by:
        figure.legend(
            title=key_label(by), loc="outside lower center", ncols=min(len(kinds), 4), frameon=False
        )
    caption = "One seed each." if alone else "Open marks are seeds; the lines join their means."
    caption += clip(axes, "y", [*means_drawn, *seeds_drawn]) + lost_jobs(board.ranked)
    title = f"{full_name(board.metric)} against {key}" + (f" and {by}" if by else "")
    return Plot(sentence(title), caption, figure)


def against_category(board: Leaderboard, key: str) -> Plot:
    """Draw seeds, mean and interval of each value of a key, the best on top."""
    groups = board.ranked[:ROWS]
    figure, axes = new_axes(WIDTH, 1.1 + 0.42 * len(groups))
    for row, group in enumerate(groups):
        seeds = values_of(group.ranked, board.metric)
        axes.plot(seeds, [row] * len(seeds), "o", color=look(0)["color"], alpha=0.55, markersize=6)
        axes.plot(means_of([group], board.metric), [row], "|", color=INK, markersize=17, mew=2)
    marks = [
        Mark(row, value, look(0)["color"])
        for row, group in enumerate(groups)
        for value in (*means_of([group], board.metric), *values_of(group.ranked, board.metric))
    ]
    clipped = clip(axes, "x", marks)
    inside = axes.get_xlim()  # kept: wide intervals of few seeds would squeeze the points
    intervals = False
    for row, group in enumerate(groups):
        if group.metric and group.metric.low is not None and group.metric.high is not None:
            ends = [scaled(end, board.metric) for end in (group.metric.low, group.metric.high)]
            axes.plot(ends, [row, row], color=INK, linewidth=1.1, zorder=1)
            intervals = True
    axes.set_xlim(inside)
    names = [shortened(group.settings[key]) + " *" * (not group.sound) for group in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_ylabel(key_label(key))
    axes.set_xlabel(metric_label(board.metric))
    tidy(axes)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    caption = "A dot is a seed, the upright bar the mean"
    caption += ", the line its 95 % interval, which may leave the picture." if intervals else "."
    caption += clipped + lost_jobs(groups)
    return Plot(sentence(f"{full_name(board.metric)} by {key}"), caption, figure)


def heat_map(board: Leaderboard, first: str, second: str) -> Plot | None:
    """Draw the mean of the metric for every pair of values of two keys, if half have a result."""
    down, across = ordered(board, first), ordered(board, second)
    if len(down) > len(across):
        first, second, down, across = second, first, across, down
    cells = np.full((len(down), len(across)), np.nan)
    metric, digits = board.metric, 1 if board.metric.is_accuracy else 3
    texts: dict[tuple[int, int], str] = {}
    for group in board.ranked:
        assert group.metric is not None
        place = down.index(group.settings[first]), across.index(group.settings[second])
        cells[place] = scaled(group.metric.mean, metric)
        texts[place] = f"{cells[place]:.{digits}f}" + "*" * (not group.sound)
        if group.metric.std is not None:
            std = metric.deviation(group.metric.std, digits) if group.metric.std else "0"
            texts[place] += f"\n± {std}"
    spreads = any("±" in text for text in texts.values())
    filled = np.isfinite(cells)
    if min(cells.shape) < 2 or max(cells.shape) > CELLS or filled.mean() < 0.5:
        return None
    names = [shortened(value) for value in across]
    slanted = max(map(len, names)) > 8
    longest = max(len(shortened(value)) for value in down)
    figure = new_figure(
        max(3.2, 1.0 + 0.08 * longest + 0.78 * len(across)),
        1.3 + (0.54 if spreads else 0.44) * len(down) + 0.05 * slanted * max(map(len, names)),
    )
    axes = figure.subplots()
    better = board.metric.sign
    mesh = axes.pcolormesh(
        cells, cmap="Blues" if better > 0 else "Blues_r", edgecolors="white", linewidth=2
    )
    clipped = robust_limits(cells[filled].tolist())
    low, high = clipped or (float(np.nanmin(cells)), float(np.nanmax(cells)))
    mesh.set_clim(low, high)
    for (row, column), text in sorted(texts.items()):
        share = (cells[row, column] - low) / (high - low) if high > low else 0.0
        dark = (share if better > 0 else 1 - share) > 0.62
        axes.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9,
            color="white" if dark else ON_LIGHT,
        )  # fmt: skip
    axes.set_xticks(np.arange(len(across)) + 0.5, names)
    axes.set_yticks(np.arange(len(down)) + 0.5, [shortened(value) for value in down])
    if slanted:
        axes.set_xticks(axes.get_xticks(), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.set_xlabel(key_label(second))
    axes.set_ylabel(key_label(first))
    what = f"{sentence(metric_label(board.metric))}, the mean over seeds"
    what += " ± standard deviation" if spreads else ""
    what += (
        " (none: one seed)" if spreads and any("±" not in text for text in texts.values()) else ""
    )
    missing = "" if filled.all() else " An empty cell has no result."
    title = sentence(f"{full_name(board.metric)} by {first} and {second}")
    caption = f"{what}; the stronger the colour, the better.{missing}"
    caption += COLOUR_CAPTION * (clipped is not None) + lost_jobs(board.ranked)
    return Plot(title, caption, figure)


def landscape(board: Leaderboard, first: str, second: str) -> Plot | None:
    """Draw the settings as points in the plane of two numbers, coloured by the metric."""
    if len(board.ranked) < 5:
        return None
    groups = list(reversed(board.ranked))  # the best drawn last, on top
    figure, axes = new_axes(WIDTH, 4.4)
    xs, ys = numbers_of(groups, first), numbers_of(groups, second)
    means = means_of(groups, board.metric)
    clipped = robust_limits(means)
    low, high = clipped or (min(means), max(means))
    points = axes.scatter(
        xs, ys, s=46, c=means, vmin=low, vmax=high, edgecolors="0.3", linewidths=0.5,
        cmap="viridis_r" if board.metric.sign > 0 else "viridis",
    )  # fmt: skip
    axes.plot(xs[-1], ys[-1], "o", markersize=13, markerfacecolor="none", color=INK, mew=1.5)
    number_axis(axes, "x", xs)
    number_axis(axes, "y", ys)
    axes.set_xlabel(key_label(first))
    axes.set_ylabel(key_label(second))
    axes.spines[["top", "right"]].set_visible(False)
    bar = figure.colorbar(points, ax=axes)
    bar.set_label(metric_label(board.metric))
    title = sentence(f"{full_name(board.metric)} over {first} and {second}")
    caption = "Each point is a setting; the ring is round the best."
    return Plot(title, caption + COLOUR_CAPTION * (clipped is not None), figure)
