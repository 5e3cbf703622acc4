"""The trials of a search: the best so far, and each trial by the value of a parameter."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from resnet_lab.reporting.plots.clipping import Mark, clip
from resnet_lab.reporting.plots.drawing import (
    INK,
    WIDTH,
    Plot,
    key_label,
    metric_label,
    number_axis,
    scaled,
    shortened,
)
from resnet_lab.reporting.plots.figure import look, new_figure, tidy
from resnet_lab.reporting.ranking.board import Leaderboard, Metric
from resnet_lab.reporting.run_record import RunRecord

LOOKS = {  # by state; told apart without colour too
    "done": {"marker": "o", "color": look(0)["color"], "markersize": 6},
    "pruned": {"marker": "v", "color": "0.4", "markersize": 6, "markerfacecolor": "none"},
    "failed": {"marker": "x", "color": look(3)["color"], "markersize": 7, "mew": 1.8},
}
SPREAD = 0.5  # of the width of a category, that its trials are spread over
GOLDEN = 0.618  # by steps of this share of it, no two of them meet
LONGEST_TICKS = 60  # characters that fit below an axis


def best_so_far(board: Leaderboard, trials: Sequence[RunRecord]) -> Plot:
    """Draw each trial's value by its number, and the best so far of those that are done.

    Args:
        board: with a result.
        trials: in the order of their start.
    """
    figure = new_figure(WIDTH, 3.7)
    axes = figure.subplots()
    numbers = [float(number) for number in range(1, len(trials) + 1)]
    best: list[tuple[float, float]] = []
    for number, trial in zip(numbers, trials, strict=True):
        if trial.state == "done" and trial.value is not None:
            value = scaled(trial.value, board.metric)
            if not best or board.metric.sign * (value - best[-1][1]) > 0:
                best.append((number, value))
    line = [*best, (numbers[-1], best[-1][1])]
    colour = look(0)["color"]
    axes.step(*zip(*line, strict=True), where="post", color=colour, label="best so far")
    caption = _draw(axes, board.metric, numbers, trials)
    axes.set_xlabel("trial")
    axes.set_xlim(0, len(trials) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return Plot("Search", f"The line is the best of the trials that are done.{caption}", figure)


def against_parameter(board: Leaderboard, trials: Sequence[RunRecord], key: str) -> Plot:
    """Draw each trial's value by its value of a parameter; see `best_so_far`."""
    figure = new_figure(WIDTH, 3.4)
    axes = figure.subplots()
    values = [trial.setting(key) for trial in trials]
    kinds = sorted(set(values))
    if board.numbers(key):
        places = [float(value) for value in values]
    else:
        spread = [SPREAD * (GOLDEN * number % 1 - 0.5) for number in range(len(trials))]
        places = [kinds.index(value) + off for value, off in zip(values, spread, strict=True)]
    caption = _draw(axes, board.metric, places, trials)
    if board.numbers(key):
        number_axis(axes, "x", places)
    else:
        names = [shortened(kind) for kind in kinds]
        axes.set_xticks(range(len(kinds)), names)
        if sum(map(len, names)) > LONGEST_TICKS:
            axes.set_xticks(range(len(kinds)), names, rotation=30, ha="right")
        axes.set_xlim(-0.6, len(kinds) - 0.4)
    best = board.ranked[0].best
    assert best is not None
    assert best.value is not None
    at = places[trials.index(best)], scaled(best.value, board.metric)
    axes.plot(*at, "o", markersize=13, markerfacecolor="none", color=INK, mew=1.3)
    axes.set_xlabel(key_label(key))
    return Plot(
        f"Trials by {key}", f"Each mark is a trial, the ring is round the best.{caption}", figure
    )


def _draw(axes: Axes, metric: Metric, places: Sequence[float], trials: Sequence[RunRecord]) -> str:
    """Draw trials by what became of them; return sentences for the caption."""
    points: dict[str, list[tuple[float, float]]] = {"done": [], "pruned": []}
    for x, trial in zip(places, trials, strict=True):
        if trial.value is not None and trial.state in points:
            points[trial.state].append((x, scaled(trial.value, metric)))
    for state, found in points.items():
        if found:
            axes.plot(*zip(*found, strict=True), linestyle="none", label=state, **LOOKS[state])
    caption = " An open triangle is a pruned trial, at its best value." if points["pruned"] else ""
    caption += clip(axes, "y", [Mark(*at, "0.4") for found in points.values() for at in found])
    failed = [x for x, trial in zip(places, trials, strict=True) if trial.state == "failed"]
    if failed:
        edge = 0.02 if metric.sign > 0 else 0.98
        axes.plot(
            failed, [edge] * len(failed), linestyle="none", label="failed",
            transform=axes.get_xaxis_transform(), **LOOKS["failed"],
        )  # fmt: skip
        caption += " A cross at the edge failed."
    axes.set_ylabel(metric_label(metric))
    tidy(axes)
    return caption
