"""Blocks refine a guess, each a step down the loss (Jastrzebski et al. 2018, arXiv:1710.04773).

Of each block that keeps the shape: the cosine between its branch and the negative gradient of the
loss at its input, and the norm of the branch over that of its input. Besides, reported and not
judged: the accuracy when all later branches are gone, and how far a representation is from that at
the end of its stage (Greff et al. 2017, arXiv:1612.07771), of the size of the latter.

Pitfalls: batch norm is in evaluation mode, else images share gradients. The gradient of an image
that is classified surely is tiny, but has a direction. The first block of a stage changes the shape
and has no cosine.

Control: the gradient for labels that are permuted among the images. No block can step towards them.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.findings import anatomy
from resnet_lab.findings.finding import Check, Measured, Options, Statistic, bootstrap
from resnet_lab.findings.subjects import Subject
from resnet_lab.models.residual import ResidualBlock
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_figure, tidy

TITLE = "Iterative refinement: late blocks step down the loss"
PAPER = "Jastrzebski et al. 2018, figures 2 to 4; Greff et al. 2017, figure 3"
NEEDS = "trained residual networks"
MINUTES = "1 for ResNet-56"
EXPLAINED = (
    "A residual block adds something to what it is given. In a trained network, the late blocks "
    "add a small step, and it points where the loss falls: they do not compute a new "
    "representation but refine the one there is, as gradient descent refines weights."
)
IMAGES = 500
UNTRAINED = False
OF_SWEEPS = False

DOWNHILL = 0.0  # P: mean cosine of the last stage with the negative gradient, above
LOST = 0.0  # C: that for permuted labels, at most


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure each trained residual subject that has more than one block in its last stage."""
    found: Measured = {}
    for subject in subjects:
        blocks = anatomy.blocks_of(subject.net)
        if subject.trained and any(_refines(block, blocks[-1].out_channels) for block in blocks):
            found[subject.name] = _measured(subject, blocks, options)
    return {"networks": found}


def _refines(block: ResidualBlock, width: int | None = None) -> bool:
    """Return whether a block has a shortcut and keeps the shape, and has this width if given."""
    wide = width in (None, block.out_channels)
    return wide and block.downsample is not None and anatomy.keeps_shape(block)


def _measured(subject: Subject, blocks: list[ResidualBlock], options: Options) -> Measured:
    kept = [number for number, block in enumerate(blocks) if _refines(block)]
    rows: dict[str, list[Tensor]] = {"cosine": [], "control": [], "ratio": [], "distance": []}
    right = torch.zeros(len(blocks))
    count = 0
    batches = subject.batches(options.images or IMAGES, options.seed)
    for number, (x, labels) in enumerate(batches):
        options.say(f"refinement of {subject.name}: batch {number + 1}")
        random = torch.Generator().manual_seed(options.seed + number)
        permuted = labels[torch.randperm(len(labels), generator=random)]
        inputs, branches, outputs, logits = _pass(subject, blocks, x)
        for key, wanted in (("cosine", labels), ("control", permuted)):
            loss = F.cross_entropy(logits, wanted, reduction="sum")
            gradients = torch.autograd.grad(loss, [inputs[n] for n in kept], retain_graph=True)
            rows[key].append(torch.stack([
                F.cosine_similarity(-gradient.flatten(1), branches[n].flatten(1))
                for n, gradient in zip(kept, gradients, strict=True)
            ], 1))  # fmt: skip
        rows["ratio"].append(torch.stack(
            [_norm(branches[n]) / _norm(inputs[n].detach()) for n in kept], 1
        ))  # fmt: skip
        rows["distance"].append(_distances(outputs, blocks))
        right += _without_later(subject, blocks, x, inputs, labels)
        count += len(labels)
    values = {key: torch.cat(parts).double().numpy() for key, parts in rows.items()}
    width = blocks[-1].out_channels
    last = [place for place, n in enumerate(kept) if _refines(blocks[n], width)]
    means = {
        key: bootstrap(_mean_of(values[key][:, last]), count, options.seed)
        for key in ("cosine", "control")
    }
    return {
        "images": count,
        "blocks": [number + 1 for number in kept],
        **{f"{key}_of_block": value.mean(0).tolist() for key, value in values.items()},
        "accuracy_without_later": (right / count).tolist(),
        **means,
    }


def _mean_of(values: NDArray[np.float64]) -> Statistic:
    return lambda chosen: float(values[chosen].mean())


def _pass(
    subject: Subject, blocks: list[ResidualBlock], x: Tensor
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    """Return input (with its graph), branch and output of each block, and the logits."""

    def keep(what: str, tensor: Tensor) -> Tensor:
        return tensor if what == "input" else tensor.detach().clone()

    with anatomy.recorded(blocks, keep) as record:
        logits = subject.net(x.clone().requires_grad_())
    inputs, branches, outputs = (list(each) for each in zip(*record, strict=True))
    return inputs, branches, outputs, logits


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norm


def _distances(outputs: list[Tensor], blocks: list[ResidualBlock]) -> Tensor:
    """Return how far each output is from the last one of its stage, [N, blocks]."""
    found = []
    for _, numbers in groupby(range(len(blocks)), key=lambda n: blocks[n].out_channels):
        stage = [outputs[n] for n in numbers]
        found += [_norm(out - stage[-1]) / _norm(stage[-1]) for out in stage]
    return torch.stack(found, 1)


def _without_later(
    subject: Subject, blocks: list[ResidualBlock], x: Tensor, inputs: list[Tensor], labels: Tensor
) -> Tensor:
    """Return how many images are right when the branches behind each block are gone, [blocks]."""
    right = []
    with torch.inference_mode():
        for n in range(len(blocks)):
            with anatomy.resumed(blocks, n, inputs[n].detach()), anatomy.deleted(blocks[n + 1 :]):
                right.append((subject.net(x).argmax(1) == labels).sum())
    return torch.stack(right)


def judge(measured: Measured) -> list[Check]:
    """Compare with the thresholds."""
    checks = []
    for name, entry in measured["networks"].items():
        label = "cosine of branch and negative gradient, last stage"
        checks += [
            Check(label, name, "above", DOWNHILL, "P", entry["cosine"]),
            Check(f"{label}, permuted labels", name, "at most", LOST, "C", entry["control"], True),
        ]
    return checks


def draw(measured: Measured) -> list[Plot]:
    """Draw cosine, ratio of norms, and accuracy without later branches, by block."""
    if not measured["networks"]:
        return []
    figure = new_figure(11, 3.6)
    panels = figure.subplots(1, 3)
    for number, (name, entry) in enumerate(measured["networks"].items()):
        style = {**look(number), "linewidth": 1, "markersize": 3}
        panels[0].plot(entry["blocks"], entry["cosine_of_block"], label=name, **style)
        panels[0].plot(
            entry["blocks"], entry["control_of_block"], color=style["color"], linestyle=":"
        )
        panels[1].plot(entry["blocks"], entry["ratio_of_block"], **style)
        right = [100 * share for share in entry["accuracy_without_later"]]
        panels[2].plot(range(1, len(right) + 1), right, **style)
    panels[0].axhline(0, color="0.6", linewidth=0.8)
    for axes, label in zip(
        panels, ("cosine with the negative gradient", "norm of branch / norm of input",
                 "accuracy without later branches (%)"), strict=True,
    ):  # fmt: skip
        tidy(axes, "block", label)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = "Dotted: the gradient for permuted labels."
    return [Plot("Refinement by block", caption, figure)]
