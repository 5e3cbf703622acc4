"""The sharing of what sources have read."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from resnet_lab.data.sources.base import Images, read


@dataclass(frozen=True)
class Counted:
    """A source that notes what is read."""

    name: str = "a"
    reads = []  # noqa: RUF012  (shared on purpose)
    classes = ("x",)
    splits = ("train", "test")

    def prepare(self) -> None:
        pass

    def read(self, split: str) -> Images:
        self.reads.append((self.name, split))
        return Images(torch.zeros(1, 2, 2, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    read.cache_clear()
    Counted.reads.clear()
    yield
    read.cache_clear()


def test_equal_sources_share_one_read() -> None:
    assert read(Counted(), "train").pixels is read(Counted(), "train").pixels
    assert Counted.reads == [("a", "train")]


def test_only_the_split_asked_for_is_read() -> None:
    read(Counted(), "train")
    assert ("a", "test") not in Counted.reads


def test_only_thesplits_of_the_last_source_are_kept() -> None:
    for split in ("train", "val", "test", "train", "val", "test"):
        read(Counted(), split)
    assert len(Counted.reads) == 3
    for name in "bcd":
        read(Counted(name), "train")
    read(Counted(), "train")  # what was dropped is read again
    assert Counted.reads[-1] == ("a", "train")
    assert len(Counted.reads) == 7


@dataclass(frozen=True)
class Labelled(Counted):
    """A source with these labels for its three images."""

    labels: tuple[object, ...] = ()
    dtype: torch.dtype = torch.int64

    def read(self, split: str) -> Images:
        pixels = torch.zeros(3, 2, 2, 1, dtype=torch.uint8)
        return Images(pixels, torch.tensor(self.labels, dtype=self.dtype))


def test_labels_are_classes_or_several_or_numbers() -> None:
    classes = read(Labelled(labels=(0, 2, 1)), "train").labels
    assert classes.dtype == torch.int64
    assert classes.shape == (3,)
    several = read(Labelled(labels=((0, 1), (1, 1), (0, 0)), dtype=torch.uint8), "train").labels
    assert several.dtype == torch.float32
    assert several.tolist() == [[0, 1], [1, 1], [0, 0]]
    numbers = read(Labelled(labels=(0.5, -2.0, 7.0), dtype=torch.float32), "train").labels
    assert numbers.dtype == torch.float32
    assert numbers.tolist() == [[0.5], [-2], [7]]


@pytest.mark.parametrize(
    ("labels", "dtype", "message"),
    [
        ((0, -1, 1), torch.int64, "the label -1: classes count from 0"),
        ((0, 1), torch.int64, r"labels \(2,\) of torch.int64 for 3 images"),
        ((0, 1, 1), torch.int32, "one int64 is needed for each image"),
        (((0, 1), (3, 1), (0, 0)), torch.uint8, "the label 3: several labels are 0 or 1"),
        ((0.5, float("nan"), 1), torch.float32, "not a number, of image 1"),
        (((0,), (1,), (2,)), torch.int64, r"float32 \[N, L\]"),
    ],
)
def test_other_labels_are_refused_with_the_way_out(labels, dtype, message) -> None:
    with pytest.raises(ValueError, match=message):
        read(Labelled(labels=labels, dtype=dtype), "train")
