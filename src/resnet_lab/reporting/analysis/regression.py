"""Analyse a network that gives numbers: how far they are off, and where."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_lab.core.text import printable
from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.reporting.analysis.sections import Sections
from resnet_lab.reporting.analysis.words import with_interval
from resnet_lab.reporting.plots.figure import look, new_figure, tidy
from resnet_lab.reporting.statistics import bootstrap_interval
from resnet_lab.reporting.wording import Table
from resnet_lab.runs.trained.inference import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

DRAWN = 4  # most numbers that have a figure
BARS = 30
NOTES = [
    "MAE: mean absolute error. RMSE: root of the mean squared error. R2: share of the variance of "
    "the true numbers that is explained. Bias: mean of predicted minus true. A constant: the MAE "
    "of always saying the median of these images.",
    "In brackets: 95 % intervals, by the bootstrap over the images.",
]
CAPTION = (
    "Left: each point is an image, on the dashed line if it is right. Right: the errors, "
    "predicted minus true."
)


def analyse_numbers(network: TrainedNetwork, found: Outputs) -> Sections:
    """Analyse the numbers that a network gives to the images of a split, [N, L]."""
    true, said = found.labels.double().numpy(), found.logits.double().numpy()
    names = [printable(name) for name in network.classes]
    several = len(names) > 1
    measured = [_number(true[:, i], said[:, i]) for i in range(len(names))]
    first = measured[0]
    answer = (
        f"Predictions{f' for {names[0]}' * several} are off by {with_interval(first, 'mae')} on "
        f"average (MAE), where a constant would be off by {first['constant']:.4g}; R2 "
        f"{with_interval(first, 'r2')}, on {len(true):,} {found.split} images. "
    )
    if first["bias_low"] <= 0 <= first["bias_high"]:
        answer += f"No bias can be told from noise ({with_interval(first, 'bias')})."
    else:
        side = "low" if first["bias"] < 0 else "high"
        answer += f"They are too {side} by {abs(first['bias']):.4g} on average."
    figures = {
        f"Predicted against true{f', {name}' * several}": (CAPTION, _figure(true[:, i], said[:, i]))
        for i, name in enumerate(names[:DRAWN])
    }
    order = np.argsort(-np.abs(said - true).mean(1), kind="stable")
    rows = [
        [
            name, with_interval(each, "mae"), f"{each['constant']:.4g}",
            *(with_interval(each, key) for key in ("rmse", "r2", "bias")),
        ]
        for name, each in zip(names, measured, strict=True)
    ]  # fmt: skip
    return Sections(
        answer,
        {"numbers": dict(zip(network.classes, measured, strict=True))},
        Table(["number", "MAE", "a constant", "RMSE", "R2", "bias"], rows),
        NOTES,
        figures,
        [(int(index), _lines(names, true[index], said[index])) for index in order],
        {
            f"{kind}({name})": values
            for kind, numbers in (("true", true), ("said", said))
            for name, values in zip(network.classes, numbers.T.tolist(), strict=True)
        },
    )


def _number(true: Floats, said: Floats) -> dict[str, Any]:
    """Return MAE, RMSE, R2 and bias of one number, each with the ends of its interval."""
    error = said - true
    centred = true - true.mean()  # for the rounding of squares of large numbers
    terms = np.stack([error, np.abs(error), error**2, centred, centred**2], 1)
    means = terms.mean(0, keepdims=True)
    found: dict[str, Any] = {"constant": float(np.abs(true - np.median(true)).mean())}
    statistics: dict[str, Callable[[Floats], Floats]] = {
        "mae": lambda m: m[:, 1],
        "rmse": lambda m: np.sqrt(m[:, 2]),
        "r2": lambda m: 1 - m[:, 2] / np.maximum(m[:, 4] - m[:, 3] ** 2, 1e-300),
        "bias": lambda m: m[:, 0],
    }
    for name, statistic in statistics.items():
        low, high = bootstrap_interval(terms, statistic)
        found |= {name: float(statistic(means)[0]), f"{name}_low": low, f"{name}_high": high}
    return found


def _figure(true: Floats, said: Floats) -> "Figure":
    figure = new_figure(8.4, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    ends = [min(true.min(), said.min()), max(true.max(), said.max())]
    left.plot(ends, ends, linestyle="--", color="0.6", linewidth=1)
    colour = look(0)["color"]
    left.plot(true, said, "o", markersize=3.5, alpha=0.45, mew=0, color=colour, rasterized=True)
    right.hist(said - true, BARS, color=colour)
    right.axvline(0, linestyle="--", color="0.4", linewidth=1)
    tidy(left, "true", "predicted")
    tidy(right, "predicted minus true", "images")
    return figure


def _lines(names: list[str], true: Floats, said: Floats) -> str:
    several = len(names) > 1
    return "\n".join(
        f"{f'{name}: ' * several}{predicted:.4g}\ntrue {value:.4g}"
        for name, value, predicted in zip(names, true, said, strict=True)
    )
