"""The handwritten digits that scikit-learn bundles."""

from dataclasses import dataclass

import numpy as np
import torch

from resnet_lab.data.sources.base import Images, check_split
from resnet_lab.data.splits import stratified_split


@dataclass(frozen=True)
class Digits:
    """The 1,797 handwritten digits of UCI (8x8, grey) that scikit-learn bundles: no download.

    They have no official test split: a stratified fifth, 360, drawn once by a fixed seed, is it,
    whatever seeds a run uses.
    """

    classes = tuple("0123456789")
    splits = ("train", "test")

    def prepare(self) -> None:
        """Do nothing: the images come with scikit-learn."""

    def read(self, split: str) -> Images:
        check_split(split, self.splits)
        from sklearn.datasets import load_digits  # takes 0.15 s

        digits = load_digits()  # values from 0 to 16
        pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))
        labels = torch.from_numpy(digits.target.astype(np.int64))
        chosen = stratified_split(labels, size=360, seed=0)[self.splits.index(split)]
        return Images(pixels[chosen].unsqueeze(-1), labels[chosen])
