"""Images that are in the training data too, or nearly so: on these, a test measures memory."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.data.decoding.pictures import on_disk
from resnet_lab.reporting.analysis.outputs import Outputs, outputs_of
from resnet_lab.runs.trained.inference import TrainedNetwork

MOST = 100_000  # training images that are searched
NEAREST = 5  # training images by features, whose pixels are compared
ALIKE = 0.95  # correlation of the pixels from which on two images are alike
ROWS = 500  # images whose features are compared at once


class Pair(NamedTuple):
    """An image and the training image that is most like it."""

    image: int  # its place in the split
    training: int  # of the training image in its source
    correlation: float  # of the pixels, 1 if they are the same
    label: int  # of the training image
    pixels: Tensor  # uint8 [H, W, C], likewise


def near_duplicates(network: TrainedNetwork, found: Outputs) -> list[Pair]:
    """Find the images that have a training image like them, the most alike first.

    Candidates are the nearest ones by features; of these, the one whose pixels correlate most.

    Returns:
        Pairs that correlate by `ALIKE` or more. None are searched for without features, with more
        than `MOST` training images, or where these are streamed (memory would have to hold them
        all) or have another size.
    """
    network.data.setup("fit")
    images, numbers = network.data.images("train")
    if found.features is None or len(numbers) > MOST or on_disk(images.pixels):
        return []
    training = outputs_of(network, "train")
    if training.features is None or training.pixels.shape[1:] != found.pixels.shape[1:]:
        return []
    known = F.normalize(training.features, dim=1).T
    pairs = []
    for start in range(0, len(found.labels), ROWS):
        part = slice(start, start + ROWS)
        similar = F.normalize(found.features[part], dim=1) @ known
        nearest = similar.topk(min(NEAREST, similar.shape[1]), 1).indices
        pixels = standardised(found.pixels[part])
        alike = [(pixels * standardised(training.pixels[each])).sum(1) for each in nearest.T]
        best, column = torch.stack(alike, 1).max(1)
        for row in (best >= ALIKE).nonzero()[:, 0].tolist():
            place = int(nearest[row, column[row]])
            pairs.append(
                Pair(
                    start + row, int(numbers[place]), float(best[row]),
                    int(training.labels[place]), training.pixels[place],
                )
            )  # fmt: skip
    return sorted(pairs, key=lambda pair: -pair.correlation)


def standardised(pixels: Tensor) -> Tensor:
    """Return images as vectors of mean 0 and length 1, whose products are correlations."""
    flat = pixels.flatten(1).float()
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)
