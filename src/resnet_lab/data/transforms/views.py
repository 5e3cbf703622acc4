"""Views of images, over which test-time augmentation averages probabilities."""

from collections.abc import Callable

from torch import Tensor

CROP = 7 / 8  # sides of the crops, as a share of the image's


def _mirrored(pixels: Tensor) -> list[Tensor]:
    return [pixels, pixels.flip(2)]


def _ten_crops(pixels: Tensor) -> list[Tensor]:
    """Return the corners and the centre, and their mirror images (Krizhevsky et al. 2012)."""
    height, width = pixels.shape[1:3]
    high, wide = max(1, round(CROP * height)), max(1, round(CROP * width))
    below, beside = height - high, width - wide
    places = [(0, 0), (0, beside), (below, 0), (below, beside), (below // 2, beside // 2)]
    crops = [pixels[:, top : top + high, left : left + wide] for top, left in places]
    return [view for crop in crops for view in _mirrored(crop)]


# By name: from uint8 [N, H, W, C] to versions of each image.
VIEWS: dict[str, Callable[[Tensor], list[Tensor]]] = {"flip": _mirrored, "ten_crop": _ten_crops}
