"""The figures of an analysis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchvision.utils import make_grid

from resnet_lab.reporting.plots.figure import (
    COLOURS,
    MARKERS,
    in_legend,
    look,
    new_axes,
    new_figure,
    tidy,
)
from resnet_lab.training.metrics import proportion

NAMED_POINTS = 20  # classes up to which a plane of features has a legend


def reliability(measured: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw accuracy against confidence, in bins of equally many images, with 95 % intervals.

    `measured` has results of `calibration` by the name to show.
    """
    figure, axes = new_axes(6.2, 5.2)
    axes.plot([0, 100], [0, 100], color="0.6", linewidth=1, linestyle="--", label="perfect")
    lowest = 100.0
    for number, (name, result) in enumerate(measured.items()):
        points = []
        for each in result["bins"]:
            share = proportion(round(each["accuracy"] * each["images"]), each["images"])
            points.append([each["confidence"], share["acc"], share["acc_low"], share["acc_high"]])
        confidence, accuracy, low, high = 100 * np.array(points).T
        axes.errorbar(
            confidence, accuracy, np.maximum(0, [accuracy - low, high - accuracy]),
            **look(number) | {"markersize": 5}, linewidth=1.3, elinewidth=0.9, capsize=2,
            alpha=0.9, label=name,
        )  # fmt: skip
        lowest = min(lowest, float(low.min()), float(confidence.min()))
    floor = max(0.0, 10 * np.floor(lowest / 10))
    axes.set(xlim=(floor, 101), ylim=(floor, 101))
    axes.legend(frameon=False, loc="upper left")
    tidy(axes, "confidence (%)", "accuracy (%)")
    return figure


def plane(points: Mapping[str, Any], labels: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draw images by class in the plane of PCA and of t-SNE, a result of `in_two_dimensions`."""
    named = len(classes) <= NAMED_POINTS
    figure = new_figure(10.5, 5.2 + 0.25 * named * -(-len(classes) // 6))
    first, second = points["explained"]
    titles = {
        "pca": f"PCA ({100 * first:.0f} and {100 * second:.0f} % of the variance)",
        "tsne": "t-SNE",
    }
    handles: dict[str, Any] = {}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        if named:
            for label, word in enumerate(classes):
                handles[in_legend(word)] = axes.scatter(
                    *points[name][labels == label].T, s=11, alpha=0.75, linewidths=0,
                    rasterized=True, color=COLOURS[label % len(COLOURS)],
                    marker=MARKERS[label % len(MARKERS)],
                )  # fmt: skip
        else:
            axes.scatter(
                *points[name].T, c=labels, cmap="turbo", s=9, linewidths=0, rasterized=True
            )
        axes.set_title(title, fontsize=11)
        axes.set(xticks=[], yticks=[])
    if named:
        longest = max(map(len, handles))
        columns = max(1, min(len(classes), 10, 110 // (longest + 5)))
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=columns,
            frameon=False, markerscale=2,
        )  # fmt: skip
    return figure


def filters(images: NDArray[np.uint8], columns: int = 16) -> Figure:
    """Draw the filters of a layer, uint8 [N, k, k, C], side by side."""
    columns = min(columns, len(images))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    mosaic = make_grid(pixels, columns, padding=1, pad_value=255).permute(1, 2, 0).numpy()
    figure, axes = new_axes(0.6 * columns + 0.1, 0.6 * -(-len(images) // columns) + 0.1)
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_axis_off()
    return figure
