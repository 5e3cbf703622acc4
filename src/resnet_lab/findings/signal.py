"""How signals grow along a network (Brock et al. 2021, arXiv:2101.08692; He et al. 2015, figure 7).

Untrained pre-activation networks get Gaussian noise: squared channel mean, channel variance, and
variance at the branch's end, after each block. With batch norm (training mode) each branch adds
about the same variance, which falls back where a stage begins; without, each block doubles it.
Trained networks get images: the standard deviation of what each layer responds (after its batch
norm, evaluation mode) is lower in the deeper one.

Pitfalls: zero padding weakens signals of small images, so growth without norms is below double
there; a shortcut that pads does not fall back; the blocks overwrite tensors, so a norm is
replaced by a copy. Stages of fewer than 4 blocks have no line to judge.

Control: the other setting. Without norms the variance must not be linear in the block.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from resnet_lab.findings import anatomy
from resnet_lab.findings.finding import Check, Interval, Measured, Options, bootstrap, line
from resnet_lab.findings.subjects import Subject
from resnet_lab.models.preact_resnet import PreActResidualBlock
from resnet_lab.models.residual import initialise
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_axes, new_figure, tidy

TITLE = "Signal propagation: what batch norm does to a residual network at its start"
PAPER = "Brock et al. 2021, figures 1 to 3; He et al. 2015, figure 7"
NEEDS = "untrained pre-activation networks; trained ones of two depths for He's figure"
MINUTES = "1"
EXPLAINED = (
    "Each block adds its branch to what came before. If a branch adds as much as is there, the "
    "signal doubles at every block: after 50 blocks it is 10^15 times as large. Batch norm resets "
    "the size of what enters each branch, so that a branch adds as much as any other one, and "
    "the later ones change little: at its start, a deep network is close to a shallow one."
)
IMAGES = 500
UNTRAINED = True
OF_SWEEPS = False

LINEAR = 0.98  # C: R^2 of variance against block within a stage, with norms, at least
FALLS = 1.0  # P: variance after the first block of a stage / after the last before it, at most
DOUBLES = (0.85, 1.15)  # C: log2 of the growth by a block, without norms
BENT = 0.9  # C: R^2 of variance against block without norms, at most
FEWEST = 4  # blocks of a stage that is judged
NOISE = 16  # images
KEYS = ("squared_mean", "variance", "branch_variance")


class Copy(nn.Module):
    """What replaces a norm: the ReLU that follows overwrites its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy."""
        return x.clone()


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure signals of untrained subjects, and responses of trained ones."""
    untrained: Measured = {}
    responses: dict[str, NDArray[np.float64]] = {}
    layers: Measured = {}
    for subject in subjects:
        options.say(f"signals of {subject.name}")
        blocks = anatomy.blocks_of(subject.net)
        if subject.trained:
            found = responses[subject.name] = _responses(subject, options)
            layers[subject.name] = _std(found, np.arange(found.shape[2])).tolist()
        elif blocks and all(isinstance(block, PreActResidualBlock) for block in blocks):
            size = (NOISE, subject.data.channels, *subject.data.image_size)
            untrained[subject.name] = {
                "widths": [block.out_channels for block in blocks],
                **{name: _signals(subject.net, size, options, norm) for name, norm in
                   (("norm", True), ("no_norm", False))},
            }  # fmt: skip
    order = sorted(layers, key=lambda name: len(layers[name]))
    ratio = None
    if len(order) > 1:
        deep, shallow = responses[order[-1]], responses[order[0]]
        count = min(options.images or IMAGES, found.shape[2])
        ratio = bootstrap(
            lambda chosen: float(_std(deep, chosen).mean() / _std(shallow, chosen).mean()),
            count, options.seed,
        )  # fmt: skip
    return {
        "untrained": untrained,
        "layers": {name: layers[name] for name in order},
        "ratio": ratio,
    }


def _signals(
    net: nn.Module, size: tuple[int, ...], options: Options, norm: bool
) -> dict[str, list[list[float]]]:
    """Return each of `KEYS` by initialisation and block, of blocks that get Gaussian noise."""
    found: dict[str, list[list[float]]] = {key: [] for key in KEYS}
    for draw in range(options.draws):
        torch.manual_seed(options.seed + draw)
        net = deepcopy(net).double().train()  # 2^128 is too large for float32
        initialise(net)
        if not norm:
            without_norms(net)
        with anatomy.recorded(anatomy.blocks_of(net), _moments) as record, torch.no_grad():
            net(torch.randn(size, dtype=torch.float64))
        found["squared_mean"].append([output[0] for _, _, output in record])
        found["variance"].append([output[1] for _, _, output in record])
        found["branch_variance"].append([branch[1] for _, branch, _ in record])
    return found


def without_norms(net: nn.Module) -> None:
    """Replace each batch norm by a copy of its input."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, Copy())


def _moments(what: str, x: Tensor) -> tuple[float, float] | None:
    """Return the mean over channels of the squared mean and of the variance."""
    if what == "input":
        return None
    return float((x.mean((0, 2, 3)) ** 2).mean()), float(x.var((0, 2, 3)).mean())


def _responses(subject: Subject, options: Options) -> NDArray[np.float64]:
    """Return mean and mean square of each image after each batch norm, [2, layers, images]."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, out: Tensor) -> None:
        if isinstance(module, nn.BatchNorm2d):
            found.append(torch.stack([out.mean((1, 2, 3)), (out**2).mean((1, 2, 3))]))

    rows = []
    with register_module_forward_hook(keep), torch.inference_mode():
        for x, _ in subject.batches(options.images or IMAGES, options.seed):
            subject.net(x)
            rows.append(torch.stack(found, 1))
            found.clear()
    return torch.cat(rows, 2).double().numpy()


def _std(found: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    mean, square = found[:, :, chosen].mean(2)
    std: NDArray[np.float64] = np.sqrt(square - mean**2)
    return std


def _stages(widths: list[int]) -> list[slice]:
    starts = [0, *(n + 1 for n, (a, b) in enumerate(pairwise(widths)) if a != b), len(widths)]
    return [slice(start, end) for start, end in pairwise(starts)]


def _over_draws(values: Sequence[float]) -> Interval:
    return bootstrap(lambda chosen: float(np.array(values)[chosen].mean()), len(values), 0)


def judge(measured: Measured) -> list[Check]:
    """Compare with the thresholds; intervals over the initialisations."""
    checks = []
    for name, entry in measured["untrained"].items():
        stages = _stages(entry["widths"])
        long = [stage for stage in stages if stage.stop - stage.start >= FEWEST]
        normed, bare = (np.array(entry[key]["variance"]) for key in ("norm", "no_norm"))
        lines: dict[str, Interval] = {}
        if long:
            lines = {
                "at": _over_draws([min(line(row[stage])[1] for stage in long) for row in normed]),
                "none": _over_draws([fmean(line(row[stage])[1] for stage in long) for row in bare]),
                "growth": _over_draws(
                    [fmean(line(np.log2(row[stage]))[0] for stage in long) for row in bare]
                ),
            }
        reason = "" if long else f"no stage of {FEWEST} blocks"
        label, fit = "log2 of growth by a block, no norm", "R^2 of variance and block"
        checks += [
            Check(f"{fit}, norm", name, "at least", LINEAR, "C", lines.get("at"), reason=reason),
            Check(label, name, "at least", DOUBLES[0], "C", lines.get("growth"), reason=reason),
            Check(label, name, "at most", DOUBLES[1], "C", lines.get("growth"), reason=reason),
            Check(f"{fit}, no norm", name, "at most", BENT, "C", lines.get("none"), True, reason),
        ]
        if len(stages) > 1:
            starts = [stage.start for stage in stages[1:]]
            ratios = [max(row[start] / row[start - 1] for start in starts) for row in normed]
            label = "variance at the start of a stage, of that before"
            checks.append(Check(label, name, "at most", FALLS, "P", _over_draws(ratios)))
    names = list(measured["layers"])
    label, reason = "mean std of layer responses, deepest / shallowest", "needs two trained depths"
    who = f"{names[-1]} and {names[0]}" if measured["ratio"] else "none"
    checks.append(Check(label, who, "at most", 1.0, "P", measured["ratio"], reason=reason))
    return checks


def draw(measured: Measured) -> list[Plot]:
    """Draw the signal propagation plots, and the responses of layers."""
    plots = []
    for name, entry in measured["untrained"].items():
        figure = new_figure(11, 3.4)
        for axes, key in zip(figure.subplots(1, 3), KEYS, strict=True):
            for number, (kind, label) in enumerate((("norm", "batch norm"), ("no_norm", "none"))):
                values = np.array(entry[kind][key]).mean(0)
                style = {**look(number), "markersize": 3}
                axes.plot(range(1, len(values) + 1), values, label=label, linewidth=1.2, **style)
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:.0e}")  # figures here show no formulas
            axes.legend(frameon=False)
            tidy(axes, "block", f"{key.replace('_', ' ')} of channels")
        caption = "At initialisation, Gaussian noise as images; means over initialisations."
        plots.append(Plot(f"Signals in {name}", caption, figure))
    if measured["layers"]:
        figure, axes = new_axes(6.6, 3.4)
        for number, (name, values) in enumerate(measured["layers"].items()):
            style = {**look(number), "markersize": 2.5}
            axes.plot(range(1, len(values) + 1), values, label=name, linewidth=1, **style)
        axes.set_ylim(0)
        axes.legend(frameon=False)
        tidy(axes, "layer", "std of its response")
        plots.append(Plot("Responses of layers", "After batch norm, before ReLU.", figure))
    return plots
