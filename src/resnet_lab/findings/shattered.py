"""Gradients of deep plain networks are like white noise (Balduzzi et al. 2017, arXiv:1702.08591).

Untrained scalar networks, 200 rectifiers wide, with batch norm before each rectifier, on a grid of
256 inputs from -2 to 2: autocorrelation of dy/dx along the grid. One hidden layer, 24 layers, and
25 residual blocks h + beta F(h) of two layers, for beta 0.1 and 1.

Pitfalls: the grid decides what lag 1 means. Batch norm makes the outputs of a batch depend on each
other: dy/dx is that of the sum of all outputs. With beta = 1 a residual network shatters too.

Control: white noise and a random walk.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.findings.finding import Check, Interval, Measured, Options, bootstrap
from resnet_lab.findings.subjects import Subject
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_axes, tidy

TITLE = "Shattered gradients: why deep plain networks do not begin to learn"
PAPER = "Balduzzi et al. 2017, figures 1 and 2"
NEEDS = "nothing"
MINUTES = "1"
EXPLAINED = (
    "A gradient is useful if it is about the same a small step further. In a deep plain network it "
    "is another one at each step: the gradients of neighbouring inputs have as much in common as "
    "the values of white noise. Shortcuts keep part of the gradient of a shallow network."
)
IMAGES = None
UNTRAINED = True
OF_SWEEPS = False
WIDTH, POINTS, LAGS = 200, 256, 15
NETWORKS: dict[str, tuple[int, float | None]] = {
    "1 hidden layer": (1, None),
    "24 layers": (24, None),
    "50 layers, residual, beta 0.1": (50, 0.1),
    "50 layers, residual, beta 1": (50, 1.0),
}
SHALLOW, DEEP, RESIDUAL = list(NETWORKS)[:3]
SMOOTH = 0.9  # C: autocorrelation at lag 1 of the shallow network and of a random walk, at least
SHATTERED = 0.35  # C: of 24 layers and of white noise, at most
ABOVE = 0.25  # C: residual minus 24 layers, at least


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure the autocorrelation of gradients at each lag, by network and initialisation."""
    noise = np.random.default_rng(options.seed).normal(size=(options.draws, POINTS))
    sources: dict[str, Callable[[int], NDArray[np.float64]]] = {
        "white noise": lambda draw: noise[draw],
        "random walk": lambda draw: noise[draw].cumsum(),
    }
    for name, (depth, beta) in NETWORKS.items():
        sources[name] = partial(_of_draw, depth, beta, options.seed)
    found = {}
    for name, source in sources.items():
        options.say(f"gradients of {name}")
        found[name] = [autocorrelation(source(draw)) for draw in range(options.draws)]
    return {"autocorrelation": found}


def _of_draw(depth: int, beta: float | None, seed: int, draw: int) -> NDArray[np.float64]:
    return gradient(depth, beta, seed + draw)


def gradient(depth: int, beta: float | None, seed: int) -> NDArray[np.float64]:
    """Return dy/dx of a new network on the grid; `beta` scales branches, None is a plain one."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(-2, 2, POINTS, dtype=torch.float64)[:, None].requires_grad_()

    def layer(h: Tensor, scale: float, out: int = WIDTH) -> Tensor:
        weight = torch.randn(h.shape[1], out, generator=generator, dtype=torch.float64)
        return h @ weight * scale

    def step(h: Tensor, out: int = WIDTH) -> Tensor:
        normed = F.batch_norm(h, None, None, training=True)
        return layer(normed.relu(), math.sqrt(2 / WIDTH), out)

    h = layer(x, 1.0) + layer(torch.ones_like(x), 1.0)
    for _ in range(depth - 1 if beta is None else depth // 2):
        h = step(h) if beta is None else h + beta * step(step(h))
    (found,) = torch.autograd.grad(step(h, 1).sum(), x)
    return found[:, 0].numpy()


def autocorrelation(values: NDArray[np.float64]) -> list[float]:
    """Return the autocorrelation at lags 0 to `LAGS`."""
    centred = values - values.mean()
    whole = float(centred @ centred)
    return [float(centred[: POINTS - lag] @ centred[lag:]) / whole for lag in range(LAGS + 1)]


def judge(measured: Measured) -> list[Check]:
    """Compare lag 1 with the thresholds; intervals over the initialisations."""
    first = {name: np.array(rows)[:, 1] for name, rows in measured["autocorrelation"].items()}

    def mean(values: NDArray[np.float64]) -> Interval:
        return bootstrap(lambda chosen: float(values[chosen].mean()), len(values), 0)

    name, gap = "autocorrelation at lag 1", mean(first[RESIDUAL] - first[DEEP])
    return [
        Check(name, SHALLOW, "at least", SMOOTH, "C", mean(first[SHALLOW])),
        Check(name, DEEP, "at most", SHATTERED, "C", mean(first[DEEP])),
        Check(f"{name}, minus that of 24 layers", RESIDUAL, "at least", ABOVE, "C", gap),
        Check(name, "random walk", "at least", SMOOTH, "C", mean(first["random walk"]), True),
        Check(name, "white noise", "at most", SHATTERED, "C", mean(first["white noise"]), True),
    ]


def draw(measured: Measured) -> list[Plot]:
    """Draw the autocorrelation against the lag."""
    figure, axes = new_axes(6.6, 3.8)
    for number, (name, rows) in enumerate(measured["autocorrelation"].items()):
        axes.plot(range(LAGS + 1), np.mean(rows, 0), label=name, linewidth=1.2, **look(number))
    axes.legend(frameon=False, fontsize=8)
    tidy(axes, "lag (steps of the grid)", "autocorrelation of dy/dx")
    return [Plot("Autocorrelation of gradients", "Means over initialisations.", figure)]
