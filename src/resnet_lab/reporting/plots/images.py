"""A confusion matrix and a grid of images, for pages and notebooks."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resnet_lab.core.text import printable
from resnet_lab.reporting.plots.figure import new_axes, new_figure

NUMBERED_CLASSES = 20  # with more, the numbers in a confusion matrix are too small to read
NAMED_CLASSES = 100  # with more, the class names are too small to read


def confusion_matrix(
    counts: NDArray[np.integer[Any]], classes: Sequence[str], *, shares: bool = True
) -> Figure:
    """Draw a confusion matrix of numbers of images, [true class, predicted class].

    The colours are percent of the true class, and so are the numbers if these are `shares`.
    """
    number = len(classes)
    assert counts.shape == (number, number), f"{counts.shape} counts for {number} classes"
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    names = [textwrap.shorten(printable(name), 24, placeholder="…") for name in classes]
    longest = max(map(len, names))
    upright = longest > 3
    cells, text = min(1.5 + 0.36 * number, 9.0 if number <= 50 else 11.0), 0.09 * longest  # inches
    figure, axes = new_axes(cells + text + 1.8, cells + 0.5 + text * upright)
    # A square-root scale makes the few mistakes visible beside the diagonal.
    image = axes.imshow(percent, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=100))
    if number <= NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(percent):
            if value > 0:
                share = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
                axes.text(
                    column, row, share if shares else str(counts[row, column]), ha="center",
                    va="center", color="white" if value > 35 else "black", fontsize=8,
                )  # fmt: skip
    if number <= NAMED_CLASSES:
        axes.set_xticks(range(number), names, rotation=90 if upright else 0)
        axes.set_yticks(range(number), names)
        size = 9 if number <= NUMBERED_CLASSES else 6 if number <= 50 else 4.5
        axes.tick_params(labelsize=size, length=0)
    axes.set(xlabel="predicted class", ylabel="true class", frame_on=False)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 1, 5, 10, 25, 50, 75, 100], shrink=0.8)
    bar.set_label("share of the true class (%)")
    bar.ax.set_frame_on(False)
    return figure


def image_grid(images: NDArray[np.uint8], titles: Sequence[str], columns: int = 6) -> Figure:
    """Draw images, uint8 [N, H, W, C], in a grid, each below its title, without interpolation.

    Raises a ValueError if there are none.
    """
    if len(images) == 0:
        raise ValueError("there are no images to show")
    assert len(titles) == len(images)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = [textwrap.fill(printable(title), 18) for title in titles]
    height = 1.25 + 0.17 * (1 + max(text.count("\n") for text in lines))
    figure = new_figure(1.4 * columns, height * rows)
    no_ticks = {"xticks": (), "yticks": ()}  # they would take most of the time, unseen
    grid = figure.subplots(rows, columns, squeeze=False, subplot_kw=no_ticks)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, lines, strict=False):
        shown = image[..., 0] if image.shape[-1] == 1 else image
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(text, fontsize=9)
    return figure
