"""Confusion, precision, recall and F1 of each class, and the images that stand out."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.training.metrics import proportion

F1 = ("f1", "f1_low", "f1_high")
SHOWN_PAIRS = 8  # confusions
NEIGHBOURS = 10
AGREEING = 8  # neighbours of another class that make a label doubtful


def confusion(found: Outputs) -> NDArray[np.int64]:
    """Count images by [true class, predicted class]."""
    classes = found.logits.shape[1]
    pairs = found.labels * classes + found.predicted
    counts: NDArray[np.int64] = torch.bincount(pairs, minlength=classes**2).numpy()
    return counts.reshape(classes, classes)


def class_rows(counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Compute precision, recall and F1 of each class from its counts, with 95 % intervals.

    Those of precision and recall are Wilson's; see `f1_score` for that of F1. A value without
    images is None.
    """
    rows = []
    for label in range(len(counts)):
        hits = int(counts[label, label])
        images, named = int(counts[label].sum()), int(counts[:, label].sum())
        row: dict[str, Any] = {"images": images, "predicted": named, "right": hits}
        for name, total in (("precision", named), ("recall", images)):
            share = proportion(hits, total)
            for end in ("", "_low", "_high"):
                row[f"{name}{end}"] = share[f"acc{end}"] if total else None
        score = f1_score(hits, images, named) if images + named else dict.fromkeys(F1)
        rows.append(row | score)
    return rows


def f1_score(hits: int, images: int, named: int) -> dict[str, float]:
    """Return F1 = 2J / (1 + J), with the interval of the Jaccard index J = TP / (TP + FP + FN).

    `images` are those of the class, `named` those that are named so, `hits` both.
    """
    jaccard = proportion(hits, images + named - hits)
    low, high = (2 * jaccard[end] / (1 + jaccard[end]) for end in ("acc_low", "acc_high"))
    return dict(zip(F1, (2 * hits / max(1, images + named), low, high), strict=True))


def top_confusions(counts: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return true class, predicted class and count of the most frequent confusions."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_PAIRS]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [(true, said, int(wrong[true, said])) for true, said in pairs if wrong[true, said]]


def confident_mistakes(found: Outputs) -> list[int]:
    """Return the indices of the wrong images, the most confident first."""
    return _ordered(-found.confidence, ~found.right)


def hesitant_hits(found: Outputs) -> list[int]:
    """Return the indices of the right images, the least confident first."""
    return _ordered(found.confidence, found.right)


def doubtful_labels(found: Outputs) -> list[int]:
    """Return the indices of images that look mislabelled, by loss.

    The network says another class, and of the ten images with the most similar features, eight or
    more are labelled as that class: not its opinion alone, but the labels of other images too.
    """
    wrong = (~found.right).nonzero().flatten()
    if found.features is None or not len(wrong) or len(found.labels) <= NEIGHBOURS:
        return []
    features = torch.nn.functional.normalize(found.features, dim=1)
    similar = features[wrong] @ features.T
    similar[torch.arange(len(wrong)), wrong] = -torch.inf  # not itself
    near = found.labels[similar.topk(NEIGHBOURS, 1).indices]
    agree = (near == found.predicted[wrong, None]).sum(1) >= AGREEING
    chosen = torch.zeros_like(found.right)
    chosen[wrong[agree]] = True
    return _ordered(-found.losses, chosen)


def _ordered(values: Tensor, among: Tensor) -> list[int]:
    """Return the indices of the chosen images, that of the least value first."""
    indices = among.nonzero().flatten()
    chosen: list[int] = indices[values[indices].argsort(stable=True)].tolist()
    return chosen
