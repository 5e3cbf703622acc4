"""The learning curves of runs: read from `metrics.csv`, and drawn."""

import csv
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from resnet_lab.core.text import printable
from resnet_lab.reporting.plots.figure import in_legend, look, new_figure, tidy

SPLITS: dict[str, dict[str, Any]] = {  # told apart without colour too
    "train": {"linestyle": (0, (3, 1.5)), "linewidth": 1.2, "markerfacecolor": "white"},
    "val": {"linestyle": "-", "linewidth": 1.8},
}
ALONE = {"train": look(1), "val": look(0)}  # a single run uses the colours for its two splits
GREY: dict[str, Any] = {"color": "0.3"}  # of the legend of splits beside several runs
Curve = tuple[list[int], list[float]]  # epochs, counted from 1, and one value for each


def read_curves(path: str | Path) -> dict[str, Curve]:
    """Read the values of each epoch from a run's `metrics.csv`, also of a running run.

    Returns:
        Curves of training and validation by metric, such as `val/loss`; without values of single
        steps (`..._step`, `lr`) and of the test (`test/...`).

    Raises:
        ValueError: there is no such file, or no epoch in it yet.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); name a metrics.csv") from None
    whole = text[: text.rfind("\n") + 1]  # the last line may be half written
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

    The scales are logarithmic: on linear ones, the first epochs flatten the rest, where runs
    differ. An error of 0 is below the axis. `runs` has paths of `metrics.csv` by the name to show;
    a ValueError if there are none, or one has no curves.
    """
    if not runs:
        raise ValueError("there are no runs to draw")
    alone = len(runs) == 1
    labels = [textwrap.fill(printable(name), 100) for name in runs]
    columns = max(1, min(len(runs), 110 // (max(map(len, runs)) + 8)))  # of the legend
    lines = sum(1 + label.count("\n") for label in labels)
    figure = new_figure(8.4, 3.7 + 0.21 * (0 if alone else -(-lines // columns)))
    loss, error = figure.subplots(1, 2)
    for number, path in enumerate(runs.values()):
        curves = read_curves(path)
        for split, style in SPLITS.items():
            line = (ALONE[split] if alone else look(number)) | style
            if f"{split}/loss" in curves:
                _draw(loss, curves[f"{split}/loss"], line)
            if f"{split}/acc" in curves:
                epochs, values = curves[f"{split}/acc"]
                _draw(error, (epochs, [100 * (1 - value) for value in values]), line)
    finish_curves(loss, "cross-entropy (nats)")
    finish_curves(error, "error (%)")
    splits = split_handles(alone=alone)
    if alone:
        figure.suptitle(labels[0], fontsize=11)
        figure.legend(handles=splits, loc="outside lower center", ncols=2, frameon=False)
    else:
        figure.legend(handles=splits, loc="outside upper center", ncols=2, frameon=False)
        names = [Line2D([], [], label=in_legend(name), **look(i)) for i, name in enumerate(labels)]
        figure.legend(handles=names, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def split_handles(*, alone: bool = False) -> list[Line2D]:
    """Return the lines of a legend that tells training from validation."""
    return [
        Line2D([], [], label=label, **(ALONE[split] if alone else GREY) | SPLITS[split])
        for split, label in (("train", "training"), ("val", "validation"))
    ]


def _draw(axes: Axes, curve: Curve, line: dict[str, Any]) -> None:
    axes.plot(*curve, markevery=max(1, len(curve[0]) // 10), **line)


def finish_curves(axes: Axes, label: str) -> None:
    """Set up the axes of learning curves: epochs, and a logarithmic scale with plain numbers."""
    last = max((float(np.max(line.get_xdata())) for line in axes.lines), default=1.0)
    axes.set_xlim(0.5, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if any((np.asarray(line.get_ydata()) > 0).any() for line in axes.lines):  # else no logarithm
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    tidy(axes, "epoch", label)
