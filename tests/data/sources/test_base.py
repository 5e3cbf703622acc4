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


def test_only_the_splits_of_the_last_source_are_kept() -> None:
    for split in ("train", "val", "test", "train", "val", "test"):
        read(Counted(), split)
    assert len(Counted.reads) == 3
    for name in "bcd":
        read(Counted(name), "train")
    read(Counted(), "train")  # what was dropped is read again
    assert Counted.reads[-1] == ("a", "train")
    assert len(Counted.reads) == 7
