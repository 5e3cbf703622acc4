"""Short paths carry the gradient (Veit et al. 2016, arXiv:1605.06431, figure 6).

A network of n residual blocks has C(n, k) paths through k branches. The forward pass is unchanged;
backward, the gradient takes one path: k blocks pass it to their branch alone, the others to their
shortcut alone. Each image goes down one random path of each length. A length weighs C(n, k) times
the mean gradient norm at the input image, in logarithms.

Pitfalls: batch norm is in evaluation mode, else images share gradients. Images that are classified
surely have tiny gradients, so the mean over images is that of the uncertain ones. A mean norm that
underflows to 0 is left out. A downsampling shortcut counts as a shortcut.

Control: n blocks whose branch is the identity. All paths weigh the same there, and the mean length
is n / 2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.findings import anatomy
from resnet_lab.findings.finding import Check, Measured, Options, bootstrap, line
from resnet_lab.findings.subjects import Subject
from resnet_lab.models.residual import ResidualBlock
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_figure, tidy

TITLE = "Path lengths: short paths carry the gradient"
PAPER = "Veit et al. 2016, figure 6: of 54 blocks, the paths through 5 to 17 carry the gradient"
NEEDS = "trained residual networks"
MINUTES = "1 for ResNet-56"
EXPLAINED = (
    "Each block lets a signal pass through its branch or around it, so a network of 27 blocks is "
    "2^27 paths of different lengths. Most of them are of middle length. But each branch that a "
    "gradient passes weakens it, so what arrives at the image came by short paths: a deep residual "
    "network trains like many shallow ones."
)
IMAGES = 200
UNTRAINED = False
OF_SWEEPS = False

LINEAR = 0.95  # C: R^2 of log norm against path length, at least
SLOPE = 0.0  # P: of that line, below
MEAN_LENGTH = 0.35  # C: weighted mean length / n, at most
PAPER_BLOCKS, PAPER_LENGTHS = 54, (5, 17)  # P: "almost all of the gradient"
MASS = 0.9  # C: of it, at least
RESAMPLES = 500


class Linear(ResidualBlock):
    """y = x + a x, the block of the known answer: a path through k of them passes a^k."""

    def __init__(self, factor: float) -> None:
        super().__init__(3, 3, 1, shortcut="A")
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x) + x."""
        return self.add_shortcut(self.factor * x, x)

    def zero_branch(self) -> None:
        """Make F(x) zero."""
        self.factor = 0.0


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure the gradient norm by path length, of trained residual subjects and the control."""
    found: Measured = {}
    count = options.images or IMAGES
    for subject in subjects:
        blocks = anatomy.blocks_of(subject.net)
        if not subject.trained or not blocks or anatomy.is_plain(subject.net):
            continue
        parts = []
        for number, (x, labels) in enumerate(subject.batches(count, options.seed)):
            options.say(f"paths of {subject.name}: batch {number + 1}")
            parts.append(norms(subject.net, x, labels, options.seed + number))
        found[subject.name] = _measured(np.concatenate(parts), options.seed)
    depth = max((len(entry["lengths"]) - 1 for entry in found.values()), default=9)
    linear = nn.Sequential(*(Linear(1.0) for _ in range(depth)), nn.Flatten())
    x = torch.randn(16, 3, 1, 1, generator=torch.Generator().manual_seed(options.seed))
    control = norms(linear, x, torch.arange(16) % 3, options.seed)
    return {"networks": found, "control": _measured(control, options.seed)}


def norms(net: nn.Module, x: Tensor, labels: Tensor, seed: int) -> NDArray[np.float64]:
    """Return the norm of the gradient of each image by one random path of each length, [N, n + 1].

    Each image of a batch takes another path, so a pass gives N samples.
    """
    blocks = anatomy.blocks_of(net)
    count, generator = len(x), torch.Generator().manual_seed(seed)
    found = torch.empty(count, len(blocks) + 1)
    for turn in range(len(blocks) + 1):
        lengths = (torch.arange(count) + turn) % (len(blocks) + 1)
        ranks = torch.rand(count, len(blocks), generator=generator).argsort(1).argsort(1)
        through = ranks < lengths[:, None]  # [N, n]
        image = x.clone().requires_grad_()
        with anatomy.selected(blocks, list(through.T)):
            loss = F.cross_entropy(net(image), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, image)
        found[torch.arange(count), lengths] = gradient.flatten(1).norm(dim=1)
    return found.double().numpy()


def weights_of(norm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each path length, of mean gradient norms by length."""
    n = len(norm) - 1
    k = np.arange(n + 1)
    with np.errstate(divide="ignore"):  # a norm that underflowed has no share
        logs = np.log(norm) + gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    weights = np.exp(logs - logs.max())
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _measured(samples: NDArray[np.float64], seed: int) -> Measured:
    count, n = samples.shape[0], samples.shape[1] - 1
    k = np.arange(n + 1)

    def fitted(chosen: NDArray[np.int64]) -> tuple[float, float]:
        mean = samples[chosen].mean(0)
        return line(np.log(mean[mean > 0]), k[mean > 0])

    def share(chosen: NDArray[np.int64]) -> float:
        first, last = PAPER_LENGTHS
        return float(weights_of(samples[chosen].mean(0))[first : last + 1].sum())

    statistics: dict[str, Any] = {
        "slope": lambda chosen: fitted(chosen)[0],
        "r2": lambda chosen: fitted(chosen)[1],
        "mean_length": lambda chosen: float(weights_of(samples[chosen].mean(0)) @ k) / n,
        "mass": share,
    }
    return {
        "images": count,
        "lengths": k.tolist(),
        "norm": samples.mean(0).tolist(),
        "weight": weights_of(samples.mean(0)).tolist(),
        **{key: bootstrap(each, count, seed, RESAMPLES) for key, each in statistics.items()},
    }


def judge(measured: Measured) -> list[Check]:
    """Compare with the thresholds."""
    checks = []
    for name, entry in measured["networks"].items():
        falls = {"value": -entry["slope"]["value"], "low": -entry["slope"]["high"],
                 "high": -entry["slope"]["low"]}  # fmt: skip
        checks += [
            Check("fall of log norm by a branch", name, "above", SLOPE, "P", falls),
            Check("R^2 of log norm and length", name, "at least", LINEAR, "C", entry["r2"]),
        ]
        if len(entry["lengths"]) - 1 == PAPER_BLOCKS:
            label = "share of paths of 5 to 17 branches"
            checks.append(Check(label, name, "at least", MASS, "C", entry["mass"]))
        else:
            label, found = "mean path length / n", entry["mean_length"]
            checks.append(Check(label, name, "at most", MEAN_LENGTH, "C", found))
    found = measured["control"]["mean_length"]
    label = "mean path length / n of identity branches"
    return [*checks, Check(label, "control", "at least", MEAN_LENGTH, "C", found, control=True)]


def draw(measured: Measured) -> list[Plot]:
    """Draw the three panels of figure 6."""
    figure = new_figure(11, 3.8)
    panels = figure.subplots(1, 3)
    networks = {**measured["networks"], "control: identity branches": measured["control"]}
    for number, (name, entry) in enumerate(networks.items()):
        style = {**look(number), "linewidth": 1.2, "markersize": 3}
        k, norm = np.array(entry["lengths"]), np.array(entry["norm"])
        counts = weights_of(np.ones(len(k)))
        for axes, values in zip(panels, (counts, norm, entry["weight"]), strict=True):
            axes.plot(k, values, label=name, **style)
    panels[1].set_yscale("log")
    panels[1].yaxis.set_major_formatter("{x:.0e}")  # figures here show no formulas
    for axes, label in zip(
        panels, ("share of all paths", "gradient norm at the image", "share of the gradient"),
        strict=True,
    ):  # fmt: skip
        tidy(axes, "path length (branches)", label)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = "Number of paths, mean gradient norm by a path, and their product, by path length."
    return [Plot("Path lengths", caption, figure)]
