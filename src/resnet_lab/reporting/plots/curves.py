"""The figures of a run: learning curves, a confusion matrix, a grid of images.

Each function returns a matplotlib Figure of its own and touches no global state, so it works in a
notebook, in a server without a display, and next to other plots.
"""

import csv
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from resnet_lab.core.text import printable

# Okabe and Ito (2008), told apart by colour-blind people; without the yellow, which is too light,
# and in an order that keeps neighbours apart in grey.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#D55E00", "#56B4E9", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # one more: the pairs repeat after 56 runs
SPLITS: dict[str, dict[str, Any]] = {  # told apart without colour too
    "train": {"linestyle": (0, (3, 1.5)), "linewidth": 1.2, "markerfacecolor": "white"},
    "val": {"linestyle": "-", "linewidth": 1.8},
}
NUMBERED_CLASSES = 20  # beyond, the numbers of a confusion matrix are too small to read
NAMED_CLASSES = 50  # beyond, so are the names

Curve = tuple[list[int], list[float]]  # epochs, counted from 1, and one value for each


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Read the curves of each epoch from a run's `metrics.csv`, also while the run goes on.

    Returns:
        By metric, such as `val/loss`; what was logged within epochs (`..._step`, `lr`) or after
        the last one (`test/...`) is left out.

    Raises:
        ValueError: there is no such file, or no epoch in it yet.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); name a metrics.csv") from None
    whole = text[: text.rfind("\n") + 1]  # the writer may be in the middle of the last line
    curves: dict[str, Curve] = {}
    try:
        rows = list(csv.DictReader(whole.splitlines()))
    except csv.Error as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    for row in rows:
        for name, value in row.items():
            curve = name and name.startswith(("train/", "val/")) and not name.endswith("_step")
            if curve and value and row.get("epoch"):
                epochs, values = curves.setdefault(name, ([], []))
                epochs.append(int(row["epoch"]) + 1)
                values.append(float(value))
    if not curves:
        raise ValueError(f"{path} holds no curves: no epoch of the run has ended yet")
    return curves


def learning_curves(runs: Mapping[str, str | Path]) -> Figure:
    """Draw loss and error of training (dashed) and validation (solid) against the epoch.

    The scales are logarithmic: the first epochs would otherwise flatten the rest, which is where
    runs differ. An error of 0 leaves the axes at the bottom.

    Args:
        runs: path of `metrics.csv` by the name to show.

    Raises:
        ValueError: there are no runs, or one has no curves.
    """
    if not runs:
        raise ValueError("there are no runs to draw")
    alone = len(runs) == 1
    # A run alone needs no colour for itself: its two curves can differ in theirs.
    own = {"train": look(1), "val": look(0)}
    splits = [
        Line2D([], [], label=label, **(own[split] if alone else {"color": "0.3"}) | SPLITS[split])
        for split, label in (("train", "training"), ("val", "validation"))
    ]
    labels = [textwrap.fill(printable(name), 100) for name in runs]
    names = [Line2D([], [], label=in_legend(label), **look(i)) for i, label in enumerate(labels)]
    columns = max(1, min(len(runs), 110 // (max(map(len, runs)) + 8)))  # of the legend
    lines = sum(1 + label.count("\n") for label in labels)
    rows = 0 if alone else -(-lines // columns)

    figure = new_figure(8.4, 3.7 + 0.21 * rows)
    loss, error = figure.subplots(1, 2)
    for number, path in enumerate(runs.values()):
        curves = read_curves(path)
        for split, style in SPLITS.items():
            line = (own[split] if alone else look(number)) | style
            if f"{split}/loss" in curves:
                _draw(loss, curves[f"{split}/loss"], line)
            if f"{split}/acc" in curves:
                epochs, values = curves[f"{split}/acc"]
                _draw(error, (epochs, [100 * (1 - value) for value in values]), line)
    finish_curves(loss, "cross-entropy (nats)")
    finish_curves(error, "error (%)")
    if alone:
        figure.suptitle(labels[0], fontsize=11)
        figure.legend(handles=splits, loc="outside lower center", ncols=2, frameon=False)
    else:
        figure.legend(handles=splits, loc="outside upper center", ncols=2, frameon=False)
        figure.legend(handles=names, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def confusion_matrix(counts: NDArray[np.integer[Any]], classes: Sequence[str]) -> Figure:
    """Draw how often each class was taken for each, in percent of the images of the true class.

    Args:
        counts: of images, [true class, predicted class].
        classes: their names, index = label.
    """
    number = len(classes)
    assert counts.shape == (number, number), f"{counts.shape} counts for {number} classes"
    totals = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100.0 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)

    names = [textwrap.shorten(printable(name), 24, placeholder="…") for name in classes]
    longest = max(map(len, names))
    upright = longest > 3
    cells, text = min(1.5 + 0.36 * number, 9.0), 0.09 * longest  # inches
    figure = new_figure(cells + text + 1.8, cells + 0.5 + text * upright)
    axes = figure.subplots()
    # The square root, so that the few mistakes can be seen beside the diagonal.
    image = axes.imshow(percent, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=100))
    if number <= NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(percent):
            if value > 0:
                shown = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
                colour = "white" if value > 35 else "black"
                axes.text(column, row, shown, ha="center", va="center", color=colour, fontsize=8)
    if number <= NAMED_CLASSES:
        axes.set_xticks(range(number), names, rotation=90 if upright else 0)
        axes.set_yticks(range(number), names)
        axes.tick_params(labelsize=9 if number <= NUMBERED_CLASSES else 6, length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_frame_on(False)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 1, 5, 10, 25, 50, 75, 100], shrink=0.8)
    bar.set_label("share of the true class (%)")
    bar.ax.set_frame_on(False)
    return figure


def image_grid(images: NDArray[np.uint8], titles: Sequence[str], columns: int = 6) -> Figure:
    """Draw images in rows, each below its title; pixels stay sharp.

    Args:
        images: uint8 [N, H, W, C], C = 1 (grey) or 3 (RGB).
        titles: one for each; a long one is broken into lines.
        columns: images in a row.

    Raises:
        ValueError: there are no images.
    """
    if len(images) == 0:
        raise ValueError("there are no images to show")
    assert len(titles) == len(images)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = [textwrap.fill(printable(title), 18) for title in titles]
    height = 1.25 + 0.17 * (1 + max(text.count("\n") for text in lines))
    figure = new_figure(1.4 * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, text in zip(grid.flat, images, lines, strict=False):
        shown = image[..., 0] if image.shape[-1] == 1 else image
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(text, fontsize=9)
    return figure


class _Figure(Figure):
    """A figure that shows its texts as they stand: a dollar sign begins no formula."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw it, with the texts that exist already and those that drawing makes."""
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
        with names_as_they_stand():
            super().draw(renderer)


@contextmanager
def names_as_they_stand() -> Iterator[None]:
    """Let new texts hold no formulas, and warn of no name that the font or the room is not for."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of some inches; pyplot, which would keep it alive, has no part."""
    figure = _Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def in_legend(name: str) -> str:
    """Return a name that matplotlib does not leave out of a legend, as it does `_name`."""
    return f" {name}" if name.startswith("_") or not name else name


def look(number: int) -> dict[str, Any]:
    """Return colour and marker of a line; those of neighbours differ in both, and in grey."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
    }


def _draw(axes: Axes, curve: Curve, line: dict[str, Any]) -> None:
    axes.plot(*curve, markevery=max(1, len(curve[0]) // 10), **line)


def finish_curves(axes: Axes, label: str) -> None:
    """Give learning curves their axes: epochs, and a logarithmic scale in plain numbers.

    Args:
        axes: with its curves drawn.
        label: of what they show, with its unit.
    """
    axes.set_xlabel("epoch")
    last = max((float(np.max(line.get_xdata())) for line in axes.lines), default=1.0)
    axes.set_xlim(0.5, last + 0.5)
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if any((np.asarray(line.get_ydata()) > 0).any() for line in axes.lines):  # for a logarithm
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    tidy(axes)


def tidy(axes: Axes) -> None:
    """Leave the two axes that are read, and faint lines to read the height by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
