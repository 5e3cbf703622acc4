"""Names beside the points of a plot that cover neither each other nor a point."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from resnet_lab.reporting.plots.curves import names_as_they_stand

# Where a name may stand, the best first: points to the right and up, and the side it is tied to.
PLACES = (
    (-6, 5, "right", "bottom"), (8, -6, "left", "top"), (7, 5, "left", "bottom"),
    (-7, -6, "right", "top"), (-6, 17, "right", "bottom"), (8, -18, "left", "top"),
    (7, 17, "left", "bottom"), (-7, -18, "right", "top"), (0, 29, "center", "bottom"),
    (0, -30, "center", "top"),
)  # fmt: skip


def label_points(
    axes: Axes, names: Sequence[str], xs: Sequence[float], ys: Sequence[float]
) -> None:
    """Name every point; where there is no room left, at the place that covers the least.

    Args:
        axes: with its points and all else drawn; its limits stay.
        names: of the points.
        xs: of the points.
        ys: of the points.
    """
    figure = axes.figure
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    figure.draw_without_rendering()  # type: ignore[union-attr]  # settles where the axes are
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    inside = axes.get_window_extent(renderer)
    low, high = axes.get_ylim()
    ys = [min(max(y, low), high) for y in ys]  # of a point beyond the edge, the mark there
    points = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in np.concatenate(points)]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    for name, x, y in zip(reversed(names), reversed(xs), reversed(ys), strict=True):
        costs = []
        for dx, dy, ha, va in PLACES:
            text = axes.annotate(
                name, (x, y), textcoords="offset points", xytext=(dx, dy), ha=ha, va=va,
                fontsize=8.5, parse_math=False,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
            text.set_in_layout(False)
            with names_as_they_stand():
                box = text.get_window_extent(renderer)
            outside = box.width * box.height - _common(box, inside)
            costs.append((sum(_common(box, other) for other in taken) + 3 * outside, text, box))
            if costs[-1][0] < 1:
                break
        best = min(costs, key=lambda cost: cost[0])
        for cost in costs:
            if cost is not best:
                cost[1].remove()
        taken.append(best[2])


def _common(first: Bbox, second: Bbox) -> float:
    both = Bbox.intersection(first, second)
    return both.width * both.height if both is not None else 0.0
