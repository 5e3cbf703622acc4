"""The plots of a search: all settings across all parameters, and the importance of each parameter.

Not Optuna's own plots: they are experimental, change matplotlib's global style, keep figures alive
in pyplot, cut off long names, and know neither seeds nor outliers.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from resnet_lab.reporting.plots.clipping import COLOUR_CAPTION, robust_limits
from resnet_lab.reporting.plots.drawing import (
    GRID,
    WIDTH,
    Plot,
    is_logarithmic,
    key_label,
    means_of,
    metric_label,
    shortened,
    values_of,
)
from resnet_lab.reporting.plots.figure import look, new_axes, tidy
from resnet_lab.reporting.ranking.board import Leaderboard, short, short_names

FEWEST = 10  # with fewer jobs, these plots say nothing
MARKS = 6  # up to so many values, each gets a tick


def parallel_coordinates(board: Leaderboard) -> Plot | None:
    """Draw every setting as a line across one axis for each key, with the metric last."""
    groups = list(reversed(board.ranked))  # the best on top
    if len(groups) < FEWEST:
        return None
    keys = _varied(board)
    figure, axes = new_axes(max(WIDTH, 1.5 + 1.15 * len(keys)), 4.3)
    heights, names = [], short_names(keys)
    for place, key in enumerate(keys):
        height, ticks = _axis([group.settings[key] for group in groups])
        heights.append(height)
        axes.axvline(place, color="0.55", linewidth=0.9)
        for level, text in ticks:
            axes.text(
                place - 0.04, level, text, ha="right", va="center", fontsize=8.5, zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.2},
            )  # fmt: skip
    means = np.array(means_of(groups, board.metric))
    clipped = robust_limits(means.tolist())
    low, high = clipped or (float(means.min()), float(means.max()))
    spread = np.clip((means - low) / (high - low), 0, 1) if high > low else np.full(len(means), 0.5)
    heights.append(spread)
    axes.axvline(len(keys), color="0.55", linewidth=0.9)
    colours = colormaps["viridis_r" if board.metric.sign > 0 else "viridis"]
    norm = Normalize(low, high)
    thick = max(3, len(groups) // 10)
    for number, line in enumerate(np.array(heights).T):
        best = number >= len(groups) - thick
        axes.plot(
            line, color=colours(norm(means[number])), linewidth=2.2 if best else 0.9,
            alpha=1.0 if best else 0.55, zorder=3 if best else 2,
        )  # fmt: skip
    axes.set_xlim(-0.35, len(keys) + 0.05)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([])
    axes.set_xticks(range(len(keys) + 1), [*map(key_label, names.values()), board.metric.name])
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.set_frame_on(False)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, pad=0.01)
    bar.set_label(metric_label(board.metric))
    caption = f"A line is a setting; the best {thick} are drawn thick."
    caption += COLOUR_CAPTION * (clipped is not None)
    return Plot("All settings, by parameter", caption, figure)


def importance(board: Leaderboard) -> Plot | None:
    """Draw the permutation importance of each key in a random forest (Breiman 2001).

    Returns:
        None where the forest predicts unseen jobs no better than their mean does: its importances
        mean nothing then.
    """
    keys = _varied(board)
    groups = [group for group in board.ranked for _ in group.ranked]
    target = np.array([value for g in board.ranked for value in values_of(g.ranked, board.metric)])
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
        [key_label(keys[place]) for place in order],
        found.importances_mean[order],
        xerr=found.importances_std[order],
        color=look(0)["color"], height=0.6, error_kw={"linewidth": 1},
    )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel("drop of R² when the parameter is shuffled")
    tidy(axes)
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
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
        kinds = sorted(set(values))
        levels = np.linspace(0, 1, len(kinds))
        places = np.array([levels[kinds.index(value)] for value in values])
        return places, [
            (float(level), shortened(kind)) for level, kind in zip(levels, kinds, strict=True)
        ]
    low, high = float(numbers.min()), float(numbers.max())
    marks = np.unique(numbers)
    few = len(marks) <= MARKS
    if is_logarithmic(numbers):
        marks = marks if few else np.geomspace(low, high, 4)
        places, levels = (np.log(each / low) / np.log(high / low) for each in (numbers, marks))
    else:
        marks = marks if few else np.linspace(low, high, 4)
        places, levels = ((each - low) / (high - low) for each in (numbers, marks))
    texts = [short(f"{mark:g}") if few else f"{mark:.2g}" for mark in marks]
    return places, list(zip(map(float, levels), texts, strict=True))
