"""Analyse a run: measure everything once, and keep it for the page and the files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_lab.core.text import printable
from resnet_lab.reporting.analysis import classes
from resnet_lab.reporting.analysis.calibration import calibration, fitted_temperature
from resnet_lab.reporting.analysis.cost import cost
from resnet_lab.reporting.analysis.duplicates import Pair, near_duplicates
from resnet_lab.reporting.analysis.inside import grad_cam, in_two_dimensions
from resnet_lab.reporting.analysis.outputs import Outputs, origin, outputs_of_run, validation_of
from resnet_lab.runs.trained.inference import TrainedNetwork, check_classifies
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.metrics import TOP5_FROM, proportion

SHOWN = 24  # images of a kind
SHOWN_MAPS = 12  # images of each kind that Grad-CAM is drawn for


@dataclass(frozen=True)
class Analysis:
    """What an analysis found.

    Attributes:
        network: of the run.
        found: its outputs for the split.
        classes: names, as they may be shown.
        counts: images by [true class, predicted class].
        numbers: everything that goes to `analysis.json`.
        plane: result of `in_two_dimensions`.
        maps: Grad-CAM of some mistakes and of some hits: indices, and maps [n, H, W] of the
            predicted class; and the height and width at which they were computed.
        pairs: result of `near_duplicates`.
    """

    network: TrainedNetwork
    found: Outputs
    classes: list[str]
    counts: NDArray[np.int64]
    numbers: dict[str, Any]
    plane: dict[str, Any]
    maps: tuple[list[int], torch.Tensor, list[int]] | None
    pairs: list[Pair]


def analyse(
    run: Run,
    split: str = "test",
    checkpoint: str | None = None,
    data_dir: str | None = None,
    say: Callable[[str], None] = lambda step: None,
) -> Analysis:
    """Analyse a checkpoint of a classifier on a split of its data.

    Args:
        run: a run directory.
        split: "test" or "val".
        checkpoint: "best", "last" or a path; None: the one that the run itself tested.
        data_dir: where the data lies now; None: where it lay when the run was trained.
        say: called with each step, for a progress bar.

    Raises:
        ValueError: no such checkpoint, data or split, or its images do not have one class each.
    """
    return analyse_outputs(*outputs_of_run(run, split, checkpoint, data_dir, say), say)


def analyse_outputs(
    network: TrainedNetwork, found: Outputs, say: Callable[[str], None] = lambda step: None
) -> Analysis:
    """Analyse the outputs of a classifier; see `analyse`."""
    check_classifies(network.run, network.task)
    names = network.facts["classes"]
    say("calibration")
    measured: dict[str, Any] = {
        "calibration": calibration(found),
        "calibrated": None,
        "temperature": None,
    }
    validation = validation_of(network, found)
    if validation is not None:
        temperature = fitted_temperature(validation.logits, validation.labels)
        measured |= {
            "temperature": temperature,
            "temperature_images": len(validation.labels),
            "calibrated": calibration(found, temperature),
        }
    say("Grad-CAM")
    mistakes, hits = classes.confident_mistakes(found), classes.hesitant_hits(found)
    chosen = [*mistakes[:SHOWN_MAPS], *_by_turns(found, hits[::-1])[:SHOWN_MAPS]]
    try:
        maps, sides = grad_cam(network, found.pixels[chosen], found.predicted[chosen])
        looked = (chosen, maps, sides)
    except ValueError:  # a network without spatial layers
        looked = None
    say("features")
    pairs = near_duplicates(network, found)
    plane = in_two_dimensions(found)
    say("cost")
    counts = classes.confusion(found)
    numbers = {
        **origin(network, found.split),
        **proportion(int(found.right.sum()), len(found.labels)),
        **_top5(found),
        "classes": dict(zip(names, classes.class_rows(counts), strict=True)),
        "confusion": counts.tolist(),
        "confusions": [
            {"true": names[true], "predicted": names[said], "images": number}
            for true, said, number in classes.top_confusions(counts)
        ],
        "confident_mistakes": mistakes[:SHOWN],
        "hesitant_hits": hits[:SHOWN],
        "doubtful_labels": classes.doubtful_labels(found)[:SHOWN],
        "near_duplicates": [[pair.image, pair.training, pair.correlation] for pair in pairs],
        **measured,
        "cost": cost(network, found.pixels),
        "explained_by_pca": plane.get("explained"),
    }
    shown = [printable(name) for name in names]
    return Analysis(network, found, shown, counts, numbers, plane, looked, pairs)


def _by_turns(found: Outputs, indices: list[int]) -> list[int]:
    """Order images so that each class has its first one before any has its second."""
    turns: dict[int, int] = {}
    order = []
    for index in indices:
        label = int(found.labels[index])
        turns[label] = turns.get(label, 0) + 1
        order.append((turns[label], label, index))
    return [index for _, _, index in sorted(order)]


def _top5(found: Outputs) -> dict[str, float]:
    if found.logits.shape[1] < TOP5_FROM:
        return {}
    among = (found.logits.topk(5, 1).indices == found.labels[:, None]).any(1)
    return {"acc_top5": float(among.float().mean())}
