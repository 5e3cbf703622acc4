"""Data sets as facts: sources of images, one data module, batched augmentation."""

from resnet_lab.data.module import ImageDataModule

__all__ = ["ImageDataModule"]
