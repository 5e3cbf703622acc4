"""What a configuration states of a data set, held to its images."""

from typing import TypedDict

from resnet_lab.data.pixels import Fit, keeps_proportions
from resnet_lab.data.sources.base import Images


class Facts(TypedDict):
    """What a network has to know of its training data; stored in every checkpoint."""

    name: str
    classes: list[str]  # index = label
    channels: int
    image_size: int | list[int]  # of the network's input: both sides, or [height, width]
    mean: list[float]  # per channel, of pixels in [0, 1]
    std: list[float]


def check_images(
    images: Images,
    classes: tuple[str, ...],
    *,
    name: str,
    num_classes: int,
    channels: int,
    image_size: tuple[int, int],
    fit: Fit | None,
) -> None:
    """Raise a ValueError that names a stated fact which the images contradict.

    Args:
        images: of any split.
        classes: names of the classes, as the source knows them.
        name: stated for the data set; likewise the others.
        num_classes: number of classes.
        channels: 1 or 3.
        image_size: height and width of the network's input.
        fit: how images of other proportions are resized; None: not at all.
    """
    height, width, found = images.pixels.shape[1:]
    if fit is None and not keeps_proportions(height, width, image_size):
        raise ValueError(
            f"the images of {name} are {height} high and {width} wide, which "
            f"data.image_size={[*image_size]} would squash: set "
            f"data.image_size=[{height},{width}], or ++data.fit= to crop, pad or stretch"
        )
    if found != channels:
        raise ValueError(
            f"data.channels={channels}, but the images of {name} have {found}: "
            f"set data.channels={found}"
        )
    labels = images.labels
    count = labels.shape[1] if labels.ndim > 1 else int(labels.max()) + 1
    count = max(len(classes), count)
    if count != num_classes:
        raise ValueError(
            f"data.num_classes={num_classes}, but {name} has {count} classes: "
            f"set data.num_classes={count}"
        )
