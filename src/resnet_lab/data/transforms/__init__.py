"""Batched augmentation on the device, with independent random parameters per image."""

from resnet_lab.data.transforms.auto_augment import RandAugment, TrivialAugmentWide
from resnet_lab.data.transforms.crop_flip import RandomCrop, RandomHorizontalFlip
from resnet_lab.data.transforms.erase import RandomErasing

__all__ = [
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "TrivialAugmentWide",
]
