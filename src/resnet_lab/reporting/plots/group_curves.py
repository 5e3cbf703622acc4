"""Learning curves of groups of runs: means over seeds."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from resnet_lab.reporting.plots import drawing
from resnet_lab.reporting.plots.curves import SPLITS, finish_curves, read_curves, split_handles
from resnet_lab.reporting.plots.drawing import REST, WIDTH, Plot, names_in_plots, ordered, shortened
from resnet_lab.reporting.plots.figure import COLOURS, in_legend, look, new_axes, new_figure
from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric

PANELS = 3  # the most that fit beside each other
COLOURED = len(COLOURS)  # groups that one plot can tell apart


def side_by_side(board: Leaderboard, key: str, other: str) -> Plot | None:
    """Draw training error (dashed) and validation error (solid) against the epoch.

    One panel for each of two or three values of `key`, one colour for each value of `other`, as in
    figure 6 of He et al. 2015, where deeper plain networks train worse and residual ones do not.
    """
    values, others = ordered(board, key), ordered(board, other)
    if not 2 <= len(values) <= PANELS or len(others) > COLOURED:
        return None
    curves = {
        (group.settings[key], group.settings[other], split): _mean_curve(
            _by_epoch(group, Metric(f"{split}/acc", "max"))
        )
        for group in board.ranked
        for split in SPLITS
    }
    if sum(len(epochs) > 1 for epochs, _ in curves.values()) < 2 * len(values):
        return None
    figure = new_figure(3.7 * len(values), 4.1)
    for axes, value in zip(figure.subplots(1, len(values), sharey=True), values, strict=True):
        for number, entry in enumerate(others):
            for split, style in SPLITS.items():
                epochs, errors = curves.get((value, entry, split), ([], []))
                if epochs:  # without markers, which would hide the dashes
                    axes.plot(
                        epochs, errors, color=look(number)["color"], linewidth=1.5,
                        linestyle=style["linestyle"],
                    )  # fmt: skip
        axes.set_title(f"{key.split('.')[-1]} = {shortened(value)}", fontsize=10)
        finish_curves(axes, "error (%)" if value == values[0] else "")
    name = other.split(".")[-1]
    handles = [
        Line2D([], [], color=look(number)["color"], label=in_legend(f"{name} {shortened(entry)}"))
        for number, entry in enumerate(others)
    ]
    handles += split_handles()
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    caption = (
        "Error against the epoch, on a logarithmic scale, the mean over seeds: training dashed, "
        "validation solid."
    )
    return Plot("Training and validation", caption, figure)


def group_curves(board: Leaderboard) -> Plot | None:
    """Draw the metric of each group against the epoch: mean and range over the seeds.

    A group without a result shows the curves so far of its jobs, in grey if others have a result.
    """
    metric = board.metric
    curves = [(group, _by_epoch(group, metric)) for group in board.groups]
    curves = [(group, by_epoch) for group, by_epoch in curves if by_epoch]
    if max((max(by_epoch) for _, by_epoch in curves), default=0) < 2:
        return None
    results = sum(group.metric is not None for group, _ in curves) or len(curves)
    named, rest = curves[: min(COLOURED, results)], curves[min(COLOURED, results) :]
    labels = names_in_plots([group for group, _ in named])
    columns = max(1, min(4, 88 // (max(map(len, labels)) + 9)))
    figure, axes = new_axes(WIDTH, 3.9 + 0.22 * -(-len(labels) // columns))
    for _, by_epoch in rest:
        axes.plot(*_mean_curve(by_epoch), color=REST, linewidth=0.8)
    banded = False
    for number, (_, by_epoch) in reversed(list(enumerate(named))):  # the best drawn last, on top
        epochs, means = _mean_curve(by_epoch)
        style = look(number)
        if any(len(values) > 1 for values in by_epoch.values()):
            banded = True
            low, high = ([bound(by_epoch[epoch]) for epoch in epochs] for bound in (min, max))
            axes.fill_between(epochs, low, high, color=style["color"], alpha=0.14, linewidth=0)
        axes.plot(epochs, means, markevery=max(1, len(epochs) // 10), linewidth=1.7, **style)
    what = f"{metric.split} error" if metric.is_accuracy else metric.full_name
    finish_curves(axes, metric.with_unit(what))
    clipped = _clip_curves(axes)
    if len(labels) > 1:
        lines = [Line2D([], [], label=in_legend(name), **look(i)) for i, name in enumerate(labels)]
        figure.legend(handles=lines, loc="outside lower center", ncols=columns, frameon=False)
    caption = f"{drawing.sentence(what)} against the epoch, on a logarithmic scale"
    caption += ": the mean over seeds, the band from the lowest to the highest." if banded else "."
    caption += clipped
    if rest:
        verb = "is" if len(rest) == 1 else "are"
        caption += f" The best {len(named)} have a colour, {len(rest)} more {verb} grey."
    return Plot("Learning curves", caption, figure)


def _by_epoch(group: Group, metric: Metric) -> dict[int, list[float]]:
    """Return the values of all seeds by epoch; an accuracy as error in percent."""
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
    """Cut off outliers on the logarithmic scale; return a sentence for the caption."""
    heights = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    logarithms = np.log10(heights[heights > 0]).tolist()
    limits = drawing.robust_limits(logarithms)
    if limits is None or axes.get_yscale() != "log":
        return ""
    margin = drawing.MARGIN * (limits[1] - limits[0])
    axes.set_ylim(10 ** (limits[0] - margin), 10 ** (limits[1] + margin))
    ends = [min(logarithms), max(logarithms)]
    far = [f"{10**value:.3g}" for value in ends if not limits[0] <= value <= limits[1]]
    return f" Curves that leave the picture reach {' and '.join(far)}."
