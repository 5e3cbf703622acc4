"""Residual networks survive the loss of layers (Veit et al. 2016, arXiv:1605.06431, figures 3-5).

Delete each block in turn (its shortcut stays), delete k of them at random, and swap k pairs of
blocks of one shape. Error is that of the remaining network, without any training. Besides, reported
and not judged: each block with new random weights (Zhang et al. 2019, arXiv:1902.01996, with the
norms' running statistics kept), and every second block deleted while the others' branches are
doubled, which an exact ODE would survive.

Pitfalls: deleted is the branch; a block that downsamples keeps its shortcut, which carries less.
In networks of few blocks each one matters more: below 27 blocks nothing is judged.

Control: a plain network, whose blocks have no shortcut: it must lose 60 points.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from resnet_lab.findings import anatomy
from resnet_lab.findings.finding import Check, Interval, Measured, Options, bootstrap
from resnet_lab.findings.subjects import Subject
from resnet_lab.models.residual import ResidualBlock
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_figure, tidy

TITLE = "Lesion study: delete and reorder layers of a trained network"
PAPER = "Veit et al. 2016, figures 3 to 5: deleting a block of ResNet-110 barely changes its error"
NEEDS = "trained networks, a plain one as the control"
MINUTES = "3 for ResNet-56 with --images 500 --draws 6"
EXPLAINED = (
    "Take a trained network and delete a block. A plain network then guesses, as each layer feeds "
    "on the one before. A residual network hardly notices: with the block gone, half of the paths "
    "from image to answer are still there. The more blocks go, or the more of them change places, "
    "the higher the error, smoothly, as in an ensemble that loses members."
)
IMAGES = 1000
UNTRAINED = False
OF_SWEEPS = False
BLOCKS = 27  # C: judged from that many on
MEDIAN = 0.01  # C: change of error of the median block, at most
MOST = 0.05  # C: change of error of 90 % of the blocks that do not downsample, at most
RANK = 0.95  # C: Spearman of blocks deleted and error, at least
STEP = 0.15  # C: largest step of error from one k to the next, at most
ORDER = -0.9  # C: Spearman of Kendall's tau and error, at most
PLAIN = 0.6  # C: change of error of the median block of a plain network, at least
COUNTS = (1, 2, 3, 4, 6, 8, 10)  # blocks deleted, and pairs swapped


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure the error of each trained subject after each lesion."""
    found = {
        subject.name: _measured(subject, options)
        for subject in subjects
        if subject.trained and _pairs(anatomy.blocks_of(subject.net))
    }
    return {"networks": found}


def _measured(subject: Subject, options: Options) -> Measured:
    blocks = anatomy.blocks_of(subject.net)
    plain = anatomy.is_plain(subject.net)
    kept = [number for number, block in enumerate(blocks) if anatomy.keeps_shape(block)]
    single = kept if plain else list(range(len(blocks)))
    counts = [count for count in COUNTS if count < len(kept)]
    shape = options.draws, len(counts)
    seed, random = options.seed, np.random.default_rng(options.seed)
    removed: list[anatomy.Lesion] = []
    moved: list[anatomy.Lesion] = []
    taus: list[float] = []
    for _ in range(options.draws):
        gone = random.permutation(kept)
        order = np.arange(len(blocks))
        for count in range(1, max(counts) + 1):
            _swap(order, blocks, random)
            if count in counts:
                chosen = [blocks[number] for number in gone[:count]]
                removed.append((int(gone[:count].min()), partial(anatomy.deleted, chosen)))
                first = int(np.argmax(order != np.arange(len(blocks))))
                moved.append((first, partial(anatomy.reordered, blocks, order.tolist())))
                taus.append(float(kendalltau(order, np.arange(len(blocks))).statistic))
    lesions: dict[str, list[anatomy.Lesion]] = {
        "none": [(0, nullcontext)],
        "deleted": [(n, partial(anatomy.deleted, [blocks[n]])) for n in single],
        "reinitialised": [(n, partial(anatomy.reinitialised, blocks[n], seed)) for n in single],
        "halved": [(0, partial(anatomy.thinned, *_halves(blocks, kept)))],
        "removed": removed,
        "moved": moved,
    }
    each = [lesion for group in lesions.values() for lesion in group]
    wrong = _wrong(subject, each, options)
    parts = np.split(wrong, np.cumsum([len(group) for group in lesions.values()])[:-1])
    error = {name: part.mean(1) for name, part in zip(lesions, parts, strict=True)}
    before = parts[0].astype(np.int64)
    changes: NDArray[np.int64] = parts[1][[single.index(number) for number in kept]] - before

    def of_changes(quantile: float) -> Interval:
        return bootstrap(
            lambda chosen: float(np.quantile(changes[:, chosen].mean(1), quantile)),
            wrong.shape[1], seed,
        )  # fmt: skip

    curves = {
        name: np.reshape(x, shape)
        for name, x in (("removed", error["removed"]), ("taus", taus), ("moved", error["moved"]))
    }
    return {
        "images": wrong.shape[1], "blocks": len(blocks), "plain": plain,
        "error": float(error["none"][0]),
        "deleted": dict(zip(single, error["deleted"].tolist(), strict=True)),
        "downsamples": sorted(set(range(len(blocks))) - set(kept)),
        "reinitialised": error["reinitialised"].tolist(),
        "halved_and_doubled": float(error["halved"][0]), "counts": counts,
        **{name: curve.tolist() for name, curve in curves.items()},
        "median_change": of_changes(0.5), "most_change": of_changes(0.9),
        **_trends(**curves, counts=counts, before=float(error["none"][0]), seed=seed),
    }  # fmt: skip


def _wrong(subject: Subject, lesions: list[anatomy.Lesion], options: Options) -> NDArray[np.bool_]:
    """Return whether each image is misclassified after each lesion, [lesions, images]."""
    rows = []
    batches = subject.batches(options.images or IMAGES, options.seed)
    with torch.inference_mode():
        for number, (x, labels) in enumerate(batches):
            options.say(f"lesions of {subject.name}: batch {number + 1}")
            logits = anatomy.after(subject.net, x, lesions)
            rows.append(torch.stack([each.argmax(1) != labels for each in logits]))
    return torch.cat(rows, 1).numpy()


def _halves(blocks: list[ResidualBlock], kept: list[int]) -> tuple[list[Any], list[Any]]:
    """Return the blocks to delete, every second one of a stage, and those to double."""
    gone, doubled = [], []
    for width in sorted({blocks[number].out_channels for number in kept}):
        stage = [blocks[number] for number in kept if blocks[number].out_channels == width]
        pairs = len(stage) // 2
        doubled += stage[0 : 2 * pairs : 2]
        gone += stage[1 : 2 * pairs : 2]
    return gone, doubled


def _pairs(blocks: list[ResidualBlock]) -> list[tuple[int, int]]:
    """Return the pairs of blocks that can change places."""
    kept = [number for number, block in enumerate(blocks) if anatomy.keeps_shape(block)]
    pairs = combinations(kept, 2)
    return [(a, b) for a, b in pairs if blocks[a].out_channels == blocks[b].out_channels]


def _swap(order: NDArray[np.int64], blocks: list[ResidualBlock], random: Any) -> None:
    """Swap two blocks of one shape, drawn among all such pairs."""
    pairs = _pairs(blocks)
    pair = list(pairs[random.integers(len(pairs))])
    order[pair] = order[pair[::-1]]


def _trends(
    removed: NDArray[np.float64], taus: NDArray[np.float64], moved: NDArray[np.float64],
    counts: list[int], before: float, seed: int,
) -> dict[str, Interval]:  # fmt: skip
    """Return how error grows with lesions; intervals over the draws."""

    def step(chosen: NDArray[np.int64]) -> float:
        curve = [before, *removed[chosen].mean(0)]
        return float((np.diff(curve) / np.diff([0, *counts])).max())

    def rank(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        if len({*x.ravel()}) == 1 or len({*y.ravel()}) == 1:
            return 0.0  # what does not vary follows nothing
        return float(spearmanr(x.ravel(), y.ravel()).statistic)

    draws = len(removed)
    return {
        "rank": bootstrap(
            lambda chosen: rank(np.array(counts), removed[chosen].mean(0)), draws, seed
        ),
        "step": bootstrap(step, draws, seed),
        "order": bootstrap(lambda chosen: rank(taus[chosen], moved[chosen]), draws, seed),
    }


def judge(measured: Measured) -> list[Check]:
    """Compare with the thresholds."""
    checks = []
    for name, entry in measured["networks"].items():
        if entry["plain"]:
            checks.append(
                Check(
                    "change of error of the median block, plain", name, "at least", PLAIN, "C",
                    entry["median_change"], control=True,
                )
            )  # fmt: skip
            continue
        judged = entry["blocks"] >= BLOCKS
        for label, key, at, threshold in (
            ("change of error of the median block", "median_change", "at most", MEDIAN),
            ("change of error of 90 % of the blocks", "most_change", "at most", MOST),
            ("Spearman of blocks deleted and error", "rank", "at least", RANK),
            ("largest step of error by a block", "step", "at most", STEP),
            ("Spearman of Kendall's tau and error", "order", "at most", ORDER),
        ):
            reason = "" if judged else f"{entry['blocks']} blocks; judged from {BLOCKS} on"
            found = entry[key] if judged else None
            checks.append(Check(label, name, at, threshold, "C", found, reason=reason))
    if not any(check.control for check in checks):
        reason = "give a plain run (model.residual=false) that learned its images"
        checks.append(Check("plain network", "none", "at least", PLAIN, "C", None, True, reason))
    return checks


def draw(measured: Measured) -> list[Plot]:
    """Draw figures 3, 5a and 5b of the paper."""
    if not measured["networks"]:
        return []
    figure = new_figure(11, 3.8)
    first, second, third = figure.subplots(1, 3)
    for number, (name, entry) in enumerate(measured["networks"].items()):
        style = look(number)
        deleted = {int(block) + 1: 100 * error for block, error in entry["deleted"].items()}
        first.plot(deleted.keys(), deleted.values(), label=name, linewidth=1, **style)
        first.axhline(100 * entry["error"], color=style["color"], linestyle=":", linewidth=1)
        removed = 100 * np.array(entry["removed"])
        second.plot(entry["counts"], np.median(removed, 0), linewidth=1, **style)
        second.fill_between(
            entry["counts"], removed.min(0), removed.max(0), color=style["color"], alpha=0.15
        )
        moved = 100 * np.ravel(entry["moved"])
        third.plot(np.ravel(entry["taus"]), moved, linestyle="", alpha=0.6, **style)
    third.invert_xaxis()
    labels = ("block deleted", "blocks deleted at random", "Kendall's tau of the order of blocks")
    for axes, label in zip((first, second, third), labels, strict=True):
        axes.set_ylim(0, 100)
        tidy(axes, label, "error (%)")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = "Dotted: the whole network. Bands: smallest and largest of the draws."
    return [Plot("Error after lesions", caption, figure)]
