"""What a network has to know of its data, and what a configuration leaves to be found out."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypedDict

from omegaconf import DictConfig
from torch import Tensor

from resnet_lab.core.configuration.building import build
from resnet_lab.data.sources.base import PictureSource, Source, read

log = logging.getLogger(__name__)

SIDE = 64  # of pictures that vary in size, unless data.image_size says otherwise


class Facts(TypedDict):
    """What a network has to know of its training data; stored in every checkpoint."""

    name: str
    classes: list[str]  # index = label
    channels: int
    image_size: int | list[int]  # of the network's input: both sides, or [height, width]
    mean: list[float]  # per channel, of pixels in [0, 1]
    std: list[float]


def name_of(label: Tensor, classes: Sequence[str]) -> str:
    """Return the class of an image; of several labels those it has; of numbers the first."""
    if label.ndim == 0:
        return classes[int(label)]
    if ((label == 0) | (label == 1)).all() and len(classes) > 1:
        return "+".join(name for name, has in zip(classes, label, strict=True) if has) or "none"
    return f"{float(label[0]):.4g}"


def state_found(config: DictConfig, *, trust: bool) -> DictConfig:
    """Return a configuration whose nulls among the facts of the data are found out."""
    config = config.copy()
    source = build(config, "data.source", trust=trust)
    for name, value in find_facts(source).items():
        if config.data.get(name) is None:
            config.data[name] = value
    return config


@lru_cache(maxsize=8)
def find_facts(source: Source) -> dict[str, Any]:
    """Find out the number of classes, channels and image size of a source; fetch it if missing."""
    source.prepare()
    if isinstance(source, PictureSource) and None in (source.channels, source.image_size):
        looks = source.looks()
        sizes = {size for size, _ in looks}
        width, height = sizes.pop() if len(sizes) == 1 else (SIDE, SIDE)
        if source.image_size is None and sizes:
            log.info("the images vary in size: data.image_size=%d, unless you set it", SIDE)
        grey = all(mode[0] in "1LIF" for _, mode in looks)
        source = replace(
            source, image_size=source.image_size or [height, width],
            channels=source.channels or (1 if grey else 3),
        )  # fmt: skip
    height, width, channels = read(source, "train").pixels.shape[1:]
    size = height if height == width else [height, width]
    return {"num_classes": len(source.classes), "channels": channels, "image_size": size}
