"""Confusion, precision, recall and F1 of each class, and the images that stand out."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.training.metrics import proportion

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
    """Compute precision, recall and F1 of each class, with 95 % intervals.

    Those of precision and recall are Wilson's; that of F1 = 2J / (1 + J) is Wilson's of the Jaccard
    index J = TP / (TP + FP + FN). A value without images is None.

    Args:
        counts: images by [true class, predicted class].
    """
    rows = []
    for label in range(len(counts)):
        hits = int(counts[label, label])
        images, named = int(counts[label].sum()), int(counts[:, label].sum())
        row: dict[str, Any] = {"images": images, "predicted": named, "right": hits}
        for name, total in (
            ("precision", named),
            ("recall", images),
            ("f1", images + named - hits),
        ):
            share = proportion(hits, total)
            values = [share[key] if total else None for key in ("acc", "acc_low", "acc_high")]
            if name == "f1":
                values = [None if j is None else 2 * j / (1 + j) for j in values]
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
        rows.append(row)
    return rows


def top_confusions(counts: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return true class, predicted class and count of the most frequent confusions."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_PAIRS]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [(true, said, int(wrong[true, said])) for true, said in pairs if wrong[true, said]]


def confident_mistakes(found: Outputs) -> list[int]:
    """Return the indices of the wrong images, the most confident first."""
    return _ordered(found.confidence, ~found.right, descending=True)


def hesitant_hits(found: Outputs) -> list[int]:
    """Return the indices of the right images, the least confident first."""
    return _ordered(found.confidence, found.right, descending=False)


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
    return _ordered(found.losses, chosen, descending=True)


def _ordered(values: Tensor, among: Tensor, *, descending: bool) -> list[int]:
    indices = among.nonzero().flatten()
    order = values[indices].argsort(descending=descending, stable=True)
    chosen: list[int] = indices[order].tolist()
    return chosen
