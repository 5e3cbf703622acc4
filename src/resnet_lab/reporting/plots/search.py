"""The plots of a search: its trials, all settings across all parameters, and what mattered.

Not Optuna's own plots: they are experimental, change matplotlib's global style, keep figures alive
in pyplot, cut off long names, and know neither seeds nor outliers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from resnet_lab.reporting.plots import drawing
from resnet_lab.reporting.plots.drawing import WIDTH, Mark, Plot, key_label, shortened
from resnet_lab.reporting.plots.figure import look, new_axes, tidy
from resnet_lab.reporting.ranking.board import Leaderboard, Metric, short, short_names
from resnet_lab.reporting.run_record import RunRecord

LOOKS = {  # by state; told apart without colour too
    "done": {"marker": "o", "color": look(0)["color"], "markersize": 6},
    "pruned": {"marker": "v", "color": "0.4", "markersize": 6, "markerfacecolor": "none"},
    "failed": {"marker": "x", "color": look(3)["color"], "markersize": 7, "mew": 1.8},
}
SPREAD = 0.5  # of the width of a category, that its trials are spread over
GOLDEN = 0.618  # by steps of this share of it, no two of them meet
LONGEST_TICKS = 60  # characters that fit below an axis
FEWEST = 10  # with fewer jobs, the plots of all parameters say nothing
MARKS = 6  # up to so many values, each gets a tick


def best_so_far(board: Leaderboard, trials: Sequence[RunRecord]) -> Plot:
    """Draw each trial's value by its number, in the order of their start, and the best so far."""
    figure, axes = new_axes(WIDTH, 3.7)
    numbers = [float(number) for number in range(1, len(trials) + 1)]
    best: list[tuple[float, float]] = []
    for number, trial in zip(numbers, trials, strict=True):
        if trial.state == "done" and trial.value is not None:
            value = board.metric.scaled(trial.value)
            if not best or board.metric.sign * (value - best[-1][1]) > 0:
                best.append((number, value))
    line = [*best, (numbers[-1], best[-1][1])]
    colour = look(0)["color"]
    axes.step(*zip(*line, strict=True), where="post", color=colour, label="best so far")
    caption = _draw_trials(axes, "trial", board.metric, numbers, trials)
    axes.set_xlim(0, len(trials) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return Plot("Search", f"The line is the best of the trials that are done.{caption}", figure)


def against_parameter(board: Leaderboard, trials: Sequence[RunRecord], key: str) -> Plot:
    """Draw each trial's value by its value of a parameter; see `best_so_far`."""
    figure, axes = new_axes(WIDTH, 3.4)
    values = [trial.setting(key) for trial in trials]
    kinds = sorted(set(values))
    if board.numbers(key):
        places = [float(value) for value in values]
    else:
        spread = [SPREAD * (GOLDEN * number % 1 - 0.5) for number in range(len(trials))]
        places = [kinds.index(value) + off for value, off in zip(values, spread, strict=True)]
        names = [shortened(kind) for kind in kinds]
        slanted = sum(map(len, names)) > LONGEST_TICKS
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if slanted else {}
        axes.set_xticks(range(len(kinds)), names, **turned)
        axes.set_xlim(-0.6, len(kinds) - 0.4)
    caption = _draw_trials(axes, key_label(key), board.metric, places, trials)
    if board.numbers(key):
        drawing.number_axis(axes, "x", places)
    best = board.ranked[0].best
    assert best is not None
    assert best.value is not None
    at = places[trials.index(best)], board.metric.scaled(best.value)
    axes.plot(*at, "o", markersize=13, markerfacecolor="none", color=drawing.INK, mew=1.3)
    caption = f"Each mark is a trial, the ring is round the best.{caption}"
    return Plot(f"Trials by {key}", caption, figure)


def _draw_trials(
    axes: Axes, xlabel: str, metric: Metric, places: Sequence[float], trials: Sequence[RunRecord]
) -> str:
    """Draw trials by what became of them; return sentences for the caption."""
    points: dict[str, list[tuple[float, float]]] = {"done": [], "pruned": []}
    for x, trial in zip(places, trials, strict=True):
        if trial.value is not None and trial.state in points:
            points[trial.state].append((x, metric.scaled(trial.value)))
    for state, found in points.items():
        if found:
            axes.plot(*zip(*found, strict=True), linestyle="none", label=state, **LOOKS[state])
    caption = " An open triangle is a pruned trial, at its best value." if points["pruned"] else ""
    marks = (Mark(*at, "0.4") for found in points.values() for at in found)
    caption += drawing.clip(axes, "y", marks)
    failed = [x for x, trial in zip(places, trials, strict=True) if trial.state == "failed"]
    if failed:
        edge = 0.02 if metric.sign > 0 else 0.98
        axes.plot(
            failed, [edge] * len(failed), linestyle="none", label="failed",
            transform=axes.get_xaxis_transform(), **LOOKS["failed"],
        )  # fmt: skip
        caption += " A cross at the edge failed."
    tidy(axes, xlabel, metric.axis_label)
    return caption


def parallel_coordinates(board: Leaderboard) -> Plot | None:
    """Draw every setting as a line across one axis for each key, with the metric last."""
    groups = list(reversed(board.ranked))  # the best on top
    if len(groups) < FEWEST:
        return None
    keys = _varied(board)
    figure, axes = new_axes(max(WIDTH, 1.5 + 1.15 * len(keys)), 4.3)
    heights = []
    for place, key in enumerate(keys):
        height, ticks = _axis([group.settings[key] for group in groups])
        heights.append(height)
        for level, text in ticks:
            axes.text(
                place - 0.04, level, text, ha="right", va="center", fontsize=8.5, zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2},
            )  # fmt: skip
    for place in range(len(keys) + 1):
        axes.axvline(place, color="0.55", linewidth=0.9)
    means = np.array(drawing.means_of(groups, board.metric))
    clipped = drawing.robust_limits(means.tolist())
    norm = Normalize(*clipped or (float(means.min()), float(means.max())), clip=True)
    ends = np.asarray(norm(means)) if norm.vmin != norm.vmax else np.full(len(means), 0.5)
    colours = colormaps["viridis_r" if board.metric.sign > 0 else "viridis"]
    thick = max(3, len(groups) // 10)
    for number, line in enumerate(np.array([*heights, ends]).T):
        best = number >= len(groups) - thick
        axes.plot(
            line, color=colours(norm(means[number])), linewidth=2.2 if best else 0.9,
            alpha=1.0 if best else 0.55, zorder=3 if best else 2,
        )  # fmt: skip
    axes.set(xlim=(-0.35, len(keys) + 0.05), ylim=(-0.04, 1.04), yticks=[], frame_on=False)
    names = [*map(key_label, short_names(keys).values()), board.metric.name]
    axes.set_xticks(range(len(keys) + 1), names)
    axes.tick_params(axis="x", length=0, labelsize=9)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, pad=0.01)
    bar.set_label(board.metric.axis_label)
    caption = f"A line is a setting; the best {thick} are drawn thick."
    caption += drawing.COLOUR_CAPTION * (clipped is not None)
    return Plot("All settings, by parameter", caption, figure)


def importance(board: Leaderboard) -> Plot | None:
    """Draw the permutation importance of each key in a random forest (Breiman 2001).

    Returns:
        None where the forest predicts unseen jobs no better than their mean does: its importances
        mean nothing then.
    """
    keys = _varied(board)
    groups = [group for group in board.ranked for _ in group.ranked]
    target = [
        value for group in board.ranked for value in drawing.values_of(group.ranked, board.metric)
    ]
    if len(target) < FEWEST or len(keys) < 2:
        return None
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    features = np.column_stack(
        [_axis([group.settings[key] for group in groups])[0] for key in keys]
    )
    forest = RandomForestRegressor(200, oob_score=True, min_samples_leaf=2, random_state=0)
    forest.fit(features, target)
    if forest.oob_score_ <= 0:
        return None
    found = permutation_importance(forest, features, target, n_repeats=20, random_state=0)
    order = np.argsort(found.importances_mean)
    figure, axes = new_axes(WIDTH, 1.0 + 0.36 * len(keys))
    axes.barh(
        [key_label(keys[place]) for place in order], found.importances_mean[order],
        xerr=found.importances_std[order], color=look(0)["color"], height=0.6,
        error_kw={"linewidth": 1},
    )  # fmt: skip
    axes.set_xlim(left=0)
    tidy(axes, "drop of R² when the parameter is shuffled", grid="x")
    caption = (
        f"Permutation importance in a random forest of 200 trees (Breiman 2001) over {len(target)} "
        f"jobs; the forest's R² on jobs left out of a tree is {forest.oob_score_:.2f}. The thin "
        "line is the standard deviation over 20 shuffles."
    )
    return Plot("Importance of the parameters", caption, figure)


def _varied(board: Leaderboard) -> list[str]:
    """Return the keys that differ between groups with a result."""
    return [key for key in board.keys if len({group.settings[key] for group in board.ranked}) > 1]


def _axis(values: Sequence[str]) -> tuple[NDArray[np.float64], list[tuple[float, str]]]:
    """Scale values to [0, 1], logarithmically if they are spread so; return these and ticks."""
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        kinds, places = np.unique(values, return_inverse=True)
        last = max(1, len(kinds) - 1)
        return places / last, [(place / last, shortened(kind)) for place, kind in enumerate(kinds)]
    low, high = float(numbers.min()), float(numbers.max())
    marks = np.unique(numbers)
    few = len(marks) <= MARKS
    if is_log := drawing.is_logarithmic(numbers):
        numbers = np.log(numbers)
    if not few:
        marks = np.geomspace(low, high, 4) if is_log else np.linspace(low, high, 4)
    levels = np.log(marks) if is_log else marks
    first, length = numbers.min(), np.ptp(numbers)
    texts = [short(f"{mark:g}") if few else f"{mark:.2g}" for mark in marks]
    ticks = zip(((levels - first) / length).tolist(), texts, strict=True)
    return (numbers - first) / length, list(ticks)
