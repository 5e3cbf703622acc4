"""Analyse a network that gives several labels: how well each is found, and with which threshold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional as F

from resnet_lab.core.text import printable
from resnet_lab.reporting.analysis.calibration import bin_means, calibration_error, equal_mass_bins
from resnet_lab.reporting.analysis.classes import f1_score
from resnet_lab.reporting.analysis.figures import reliability
from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.reporting.analysis.sections import Sections
from resnet_lab.reporting.analysis.words import with_interval
from resnet_lab.reporting.statistics import bootstrap_interval
from resnet_lab.reporting.wording import NONE, Table
from resnet_lab.runs.trained.inference import TrainedNetwork
from resnet_lab.training.metrics import proportion

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOTES = [
    "AP: average precision, over all thresholds. F1, precision and recall are at a probability of "
    "one half; in brackets: the 95 % interval, of the sampling of the images.",
    "Best threshold: with the highest F1 on the validation images; F1 there: of this split.",
]
CAPTION = (
    "Each point is an equal share of all labels of all images, by probability. Below the dashed "
    "line, the network is too sure."
)


def analyse_labels(network: TrainedNetwork, found: Outputs, validation: Outputs | None) -> Sections:
    """Analyse the labels, 0 or 1, that a network gives to the images of a split, [N, L].

    Thresholds are chosen on the validation split, if there is one.
    """
    truth, given = _of(found)
    said = given > 0.5
    names = [printable(name) for name in network.classes]
    chosen = [None] * len(names) if validation is None else _thresholds(*_of(validation))
    labels = [_label(truth[:, i], given[:, i], chosen[i]) for i in range(len(names))]
    hits = (truth & said).astype(float)
    macro = [float(np.mean([label["f1"] for label in labels]))]
    macro += bootstrap_interval(np.hstack([hits, truth, said]), _macro_f1)
    right = proportion(int((truth == said).all(1).sum()), len(truth))
    bins, gaps = equal_mass_bins(given.ravel()), given.ravel() - truth.ravel()
    aps = [label["ap"] for label in labels if label["ap"] is not None]
    numbers: dict[str, Any] = {
        "f1": macro[0], "f1_low": macro[1], "f1_high": macro[2], **right,
        "map": float(np.mean(aps)) if aps else None,
        "ece": calibration_error(gaps, bins),
        "labels": dict(zip(network.classes, labels, strict=True)),
    }  # fmt: skip
    least = min(range(len(names)), key=lambda i: labels[i]["f1"])
    answer = (
        f"Macro F1 {_percent(macro[0])} % (95 % interval {_percent(macro[1])} to "
        f"{_percent(macro[2])}) over {len(names)} labels; all labels are right for "
        f"{_percent(right['acc'])} % of the {len(truth):,} {found.split} images "
        f"({_percent(right['acc_low'])} to {_percent(right['acc_high'])}). Worst found: "
        f"{names[least]}, F1 {_percent(labels[least]['f1'])} %. Probabilities are off by "
        f"{_percent(numbers['ece'])} points on average (ECE)."
    )
    drawn = reliability(
        {"all labels": {"bins": bin_means(given.ravel(), truth.ravel().astype(np.float64))}}
    )
    drawn.axes[0].set(xlabel="probability (%)", ylabel="images with the label (%)")
    return Sections(
        answer, numbers, _table(names, labels), NOTES, {"Calibration": (CAPTION, drawn)},
        _mistakes(found, truth, given, names),
        dict(zip(network.classes, truth.astype(int).T.tolist(), strict=True))
        | {f"p({n})": p for n, p in zip(network.classes, given.T.round(6).tolist(), strict=True)},
    )  # fmt: skip


def _of(found: Outputs) -> tuple[Bools, Floats]:
    """Return labels and probabilities, [N, L]."""
    return found.labels.numpy() > 0.5, found.logits.double().sigmoid().numpy()


def _label(truth: Bools, given: Floats, threshold: float | None) -> dict[str, Any]:
    """Measure one label; what no image tells is None."""
    from sklearn.metrics import average_precision_score

    hits, there, named = _counts(truth, given > 0.5)
    at_threshold = None if threshold is None else _counts(truth, given >= threshold)
    return {
        "images": there,
        "ap": float(average_precision_score(truth, given)) if there else None,
        **f1_score(hits, there, named),
        "precision": hits / named if named else None,
        "recall": hits / there if there else None,
        "threshold": threshold,
        "f1_at_threshold": f1_score(*at_threshold)["f1"] if at_threshold else None,
    }


def _counts(truth: Bools, said: Bools) -> tuple[int, int, int]:
    """Count the hits, the images with the label, and those that are named so."""
    return int((truth & said).sum()), int(truth.sum()), int(said.sum())


def _macro_f1(means: Floats) -> Floats:
    """Return the mean F1 of the means of hits, labels there and labels named, [R, 3 L]."""
    hits, there, named = np.split(means, 3, axis=1)
    scores: Floats = (2 * hits / np.maximum(there + named, 1e-12)).mean(1)
    return scores


def _thresholds(truth: Bools, given: Floats) -> list[float | None]:
    """Return the threshold of each label with the highest F1; None where no image has the label."""
    from sklearn.metrics import precision_recall_curve

    found: list[float | None] = []
    for label in range(truth.shape[1]):
        if not truth[:, label].any():
            found.append(None)
            continue
        precision, recall, limits = precision_recall_curve(truth[:, label], given[:, label])
        scores = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        found.append(float(limits[np.argmax(scores[:-1])]))
    return found


def _mistakes(
    found: Outputs, truth: Bools, given: Floats, names: list[str]
) -> list[tuple[int, str]]:
    """Return images with a wrong label, those of the highest loss first, and what is wrong."""
    losses = F.binary_cross_entropy_with_logits(
        found.logits, found.labels.float(), reduction="none"
    )
    wrong = truth != (given > 0.5)
    tiles = []
    for index in losses.mean(1).argsort(descending=True).tolist():
        lines = [
            f"{'missed' if truth[index, label] else 'wrongly'} {names[label]} "
            f"({100 * given[index, label]:.1f}\u00a0%)"
            for label in np.flatnonzero(wrong[index])
        ]
        if lines:
            tiles.append((index, "\n".join(lines)))
    return tiles


def _table(names: list[str], labels: list[dict[str, Any]]) -> Table:
    columns = [
        "label", "images", "AP %", "F1 %", "precision %", "recall %", "best threshold",
        "F1 there %",
    ]  # fmt: skip
    rows = [
        [
            name, f"{label['images']:,}", _percent(label["ap"]),
            with_interval(label, "f1", ".1f", 100), _percent(label["precision"]),
            _percent(label["recall"]),
            NONE if label["threshold"] is None else f"{label['threshold']:.3f}",
            _percent(label["f1_at_threshold"]),
        ]
        for name, label in zip(names, labels, strict=True)
    ]  # fmt: skip
    return Table(columns, rows)


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f}"
