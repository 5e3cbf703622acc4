"""Images that are in the training data too, or nearly so: on these, a test measures memory."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from resnet_lab.data.decoding.pictures import on_disk
from resnet_lab.reporting.analysis.outputs import Outputs
from resnet_lab.runs.trained.inference import TrainedNetwork

MOST = 100_000  # training images that are searched
NEAREST = 10  # training images by thumbnails, whose pixels are compared
SIDE = 8  # pixels of a thumbnail
ALIKE = 0.95  # correlation of the pixels from which on two images are alike
ROWS = 500  # images that are compared at once


class Pair(NamedTuple):
    """An image and the training image that is most like it."""

    image: int  # its place in the split
    training: int  # of the training image in its source
    correlation: float  # of the pixels, 1 if they are the same
    label: int  # of the training image
    pixels: Tensor  # uint8 [H, W, C], likewise


def near_duplicates(network: TrainedNetwork, found: Outputs) -> list[Pair]:
    """Find the images that have a training image like them, the most alike first.

    Candidates are the training images whose thumbnails correlate most; of these, the one whose
    pixels do. The network is not asked: its features of 50,000 images take minutes on a CPU.

    Returns:
        Pairs that correlate by `ALIKE` or more. None are searched for with more than `MOST`
        training images, or where these are streamed (memory would have to hold them all) or have
        another size.
    """
    network.data.setup("fit")
    images, numbers = network.data.images("train")
    if len(numbers) > MOST or on_disk(images.pixels):
        return []
    if images.pixels.shape[1:] != found.pixels.shape[1:]:
        return []
    known = torch.cat([_thumbnails(images.pixels[part]) for part in torch.split(numbers, ROWS)]).T
    pairs = []
    for start in range(0, len(found.labels), ROWS):
        several = found.pixels[start : start + ROWS]
        similar = _thumbnails(several) @ known
        nearest = numbers[similar.topk(min(NEAREST, len(numbers)), 1).indices]
        pixels = standardised(several)
        alike = [(pixels * standardised(images.pixels[each])).sum(1) for each in nearest.T]
        best, column = torch.stack(alike, 1).max(1)
        for row in (best >= ALIKE).nonzero()[:, 0].tolist():
            training = int(nearest[row, column[row]])
            label, shown = int(images.labels[training]), images.pixels[training]
            pairs.append(Pair(start + row, training, float(best[row]), label, shown))
    return sorted(pairs, key=lambda pair: -pair.correlation)


def _thumbnails(pixels: Tensor) -> Tensor:
    small = F.adaptive_avg_pool2d(pixels.permute(0, 3, 1, 2).float(), SIDE)
    return standardised(small)


def standardised(pixels: Tensor) -> Tensor:
    """Return images as vectors of mean 0 and length 1, whose products are correlations."""
    flat = pixels.flatten(1).float()
    return F.normalize(flat - flat.mean(1, keepdim=True), dim=1)
