"""Without shortcuts, the loss of a deep network is a rugged landscape (Li et al. 2018, figure 1).

arXiv:1712.09913. The weights of a trained network are moved along two random directions, and the
cross-entropy of training images is measured on a grid around them. Each filter of a direction has
the norm of the filter it moves (so networks can be compared); biases and parameters of norms stay.
A point leads away if a small step downhill from it takes one further from the centre. From no point
of a convex function around its minimum does one lead away.

Pitfalls: without the filters' norms, a network with larger weights looks flatter. Two directions of
a hundred thousand show little: what is convex there need not be convex. Norms keep their running
statistics. A network that did not learn is at no minimum. A loss that overflows counts as 1e30.

Control: a plain network of the same depth that learned its images: more of its points lead away.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.findings import anatomy
from resnet_lab.findings.finding import Check, Interval, Measured, Options, bootstrap
from resnet_lab.findings.subjects import Subject
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_axes, new_figure, tidy

TITLE = "Loss landscape: shortcuts make it smooth"
PAPER = "Li et al. 2018, figure 1: the loss around ResNet-56 with and without shortcuts"
NEEDS = "a residual network and, as the control, a plain one of the same depth"
MINUTES = "2 for two ResNet-20 of the digits with --draws 3"
EXPLAINED = (
    "Training walks downhill on the loss, so it matters whether downhill is the way to a minimum. "
    "Walk away from a trained network in a random direction, and the loss rises. With shortcuts it "
    "goes on rising, as in a bowl. Without them, a deep network has ridges and further valleys: "
    "who starts there walks somewhere else."
)
IMAGES = 200
UNTRAINED = False
OF_SWEEPS = False
STEPS = np.linspace(-1, 1, 17)  # from the weights, in units of their norms
LARGEST = 1e30  # a loss

AWAY = 0.05  # C: share of points that lead away, residual, at most
TIMES = 3.0  # C: that of a plain network / that of a residual one, at least
LEARNED = 0.95  # C: accuracy on the images, at least

Surface = NDArray[np.float64]  # loss [len(STEPS), len(STEPS)], along the first, second direction


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure the training loss of each trained subject around its weights, by pair of draws."""
    found: Measured = {}
    for subject in subjects:
        if not subject.trained or not anatomy.blocks_of(subject.net):
            continue
        subject.split = "train"
        x, labels = subject.images(options.images or IMAGES, options.seed)
        surfaces = []
        for draw in range(options.draws):
            options.say(f"landscape of {subject.name}: pair of directions {draw + 1}")
            first, second = (direction(subject.net, 2 * (options.seed + draw) + n) for n in (0, 1))
            loss = _loss(subject.net, x, labels)
            surfaces.append(surface(loss, list(subject.net.parameters()), first, second))
        with torch.inference_mode():
            accuracy = float((subject.net(x).argmax(1) == labels).double().mean())
        found[subject.name] = {
            "plain": anatomy.is_plain(subject.net),
            "depth": subject.config.model.get("depth"),
            "accuracy": accuracy,
            "log10_loss": [np.log10(each).round(4).tolist() for each in surfaces],
            "away": [leading_away(each) for each in surfaces],
        }
    return {"networks": found}


def direction(net: nn.Module, seed: int) -> list[Tensor]:
    """Return a random direction of the parameters, filter by filter of the same norm."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for part in (each.detach() for each in net.parameters()):
        drawn = torch.zeros_like(part)
        if part.dim() > 1:
            drawn.normal_(generator=generator)
            norms, had = (each.flatten(1).norm(dim=1) for each in (part, drawn))
            drawn *= (norms / had).reshape(-1, *[1] * (part.dim() - 1))
        found.append(drawn)
    return found


def _loss(net: nn.Module, x: Tensor, labels: Tensor) -> Callable[[], float]:
    return lambda: float(F.cross_entropy(net(x).double(), labels))


@torch.no_grad()
def surface(
    loss: Callable[[], float], parameters: Sequence[Tensor], first: Sequence[Tensor],
    second: Sequence[Tensor],
) -> Surface:  # fmt: skip
    """Return the loss on a grid of two directions around the parameters, which stay as they are."""
    before = [part.detach().clone() for part in parameters]
    found = np.empty((len(STEPS), len(STEPS)))
    try:
        for row, column in product(range(len(STEPS)), repeat=2):
            for part, start, a, b in zip(parameters, before, first, second, strict=True):
                part.copy_(start + STEPS[row] * a + STEPS[column] * b)
            found[row, column] = loss()
    finally:
        for part, start in zip(parameters, before, strict=True):
            part.copy_(start)
    return np.nan_to_num(found, nan=LARGEST, posinf=LARGEST).clip(1e-30, LARGEST)


def leading_away(loss: Surface) -> float:
    """Return the share of inner points from which downhill leads away from the centre."""
    by_first, by_second = np.gradient(loss)
    outward = STEPS[:, None] * by_first + STEPS * by_second  # slope of a step outward
    return float((outward < 0)[1:-1, 1:-1].mean())


def judge(measured: Measured) -> list[Check]:
    """Compare with the thresholds; intervals over the pairs of directions."""
    networks = measured["networks"]
    plain = {name: entry for name, entry in networks.items() if entry["plain"]}
    label, times = "points that lead away", "points that lead away / those of the residual network"
    checks = []
    for name, entry in networks.items():
        if entry["plain"]:
            continue
        away, reason = np.array(entry["away"]), _untaught(name, entry)
        found = None if reason else _mean(away)
        checks.append(Check(label, name, "at most", AWAY, "C", found, reason=reason))
        same = {n: e for n, e in plain.items() if e["depth"] == entry["depth"]}
        for other, control in same.items():
            reason = _untaught(name, entry) or _untaught(other, control)
            found = None if reason else _ratio(np.array(control["away"]), away)
            checks.append(Check(times, other, "at least", TIMES, "C", found, True, reason))
        if not same:
            reason = "give a plain run of the same depth (model.residual=false)"
            checks.append(Check(times, "none", "at least", TIMES, "C", None, True, reason))
    none = Check(label, "none", "at most", AWAY, "C", None, reason="give a residual run")
    return checks or [none]


def _untaught(name: str, entry: Measured) -> str:
    """Return why a network is not judged; empty if it learned its images."""
    taught = entry["accuracy"] >= LEARNED
    return "" if taught else f"{name} has {100 * entry['accuracy']:.0f} % of its training images"


def _mean(away: NDArray[np.float64]) -> Interval:
    return bootstrap(lambda chosen: float(away[chosen].mean()), len(away), 0)


def _ratio(plain: NDArray[np.float64], residual: NDArray[np.float64]) -> Interval:
    """Return how many times as many points lead away; a residual network has at least one."""
    least = 1 / (len(STEPS) - 2) ** 2

    def ratio(chosen: NDArray[np.int64]) -> float:
        return float(plain[chosen].mean() / max(residual[chosen].mean(), least))

    return bootstrap(ratio, len(plain), 0)


def draw(measured: Measured) -> list[Plot]:
    """Draw the loss along single directions, and that of the first pair with equal levels."""
    networks = {name: np.array(e["log10_loss"]) for name, e in measured["networks"].items()}
    if not networks:
        return []
    line, axes = new_axes(6.6, 3.6)
    middle = len(STEPS) // 2
    for number, (name, losses) in enumerate(networks.items()):
        rows = [*losses[:, middle], *losses[:, :, middle]]
        style = {**look(number), "markersize": 2.5, "linewidth": 0.9}
        for row in rows:
            axes.plot(STEPS, 10**row, label=name if row is rows[0] else None, **style)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")  # figures here show no formulas
    axes.legend(frameon=False)
    tidy(axes, "distance from the weights, in units of their norms", "training loss (nats)")
    plane = new_figure(1 + 3.6 * len(networks), 3.8)
    panels = plane.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    firsts = [losses[0] for losses in networks.values()]
    levels = np.linspace(min(map(np.min, firsts)), max(map(np.max, firsts)), 25)
    for axes, (name, losses) in zip(panels, networks.items(), strict=True):
        shown = axes.contourf(STEPS, STEPS, losses[0].T, levels, cmap="cividis")
        axes.contour(STEPS, STEPS, losses[0].T, levels, colors="white", linewidths=0.4)
        axes.set_title(name, fontsize=9, wrap=True)
        axes.set_xlabel("first direction")
        axes.set_aspect("equal")
    panels[0].set_ylabel("second direction")
    plane.colorbar(shown, ax=panels, label="log10 of training loss", format="%.1f")
    return [
        Plot("Loss along directions", "Each line is another random direction.", line),
        Plot("Loss of two directions", "Equal colours are equal losses.", plane),
    ]
