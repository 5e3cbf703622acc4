"""The bundled digits."""

import hashlib

import pytest
import torch

from resnet_lab.data.sources import Digits
from resnet_lab.data.sources.base import Images
from tests.data.fakes import offline  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("offline")


def digest(images: Images) -> str:
    return hashlib.sha256(images.pixels.numpy().tobytes()).hexdigest()[:16]


def test_digits_are_uint8_images_with_int64_labels() -> None:
    source = Digits()
    source.prepare()
    train, test = source.read("train"), source.read("test")
    assert train.pixels.shape == (1437, 8, 8, 1)
    assert test.pixels.shape == (360, 8, 8, 1)
    for images in (train, test):
        assert images.pixels.dtype == torch.uint8
        assert images.pixels.is_contiguous()
        assert images.labels.dtype == torch.int64
        assert images.pixels.min() == 0
        assert images.pixels.max() == 255
    assert source.classes == tuple("0123456789")
    assert source.splits == ("train", "test")


def test_digits_splits_are_disjoint_and_have_the_same_mix_of_classes() -> None:
    train, test = Digits().read("train"), Digits().read("test")
    both = torch.cat([train.pixels, test.pixels]).flatten(1)
    assert len(both.unique(dim=0)) == len(both) == 1797  # no image is there twice
    share = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert torch.allclose(share, torch.full((10,), 0.2), atol=0.01)


def test_digits_test_split_is_part_of_the_data_set() -> None:
    """A change here makes every published number on the digits another number."""
    before = torch.get_rng_state()
    torch.manual_seed(5)
    assert digest(Digits().read("train")) == "2bd67548ed7aac43"
    assert digest(Digits().read("test")) == "cbf9d0de5d77e013"
    torch.set_rng_state(before)


def test_digits_leave_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    Digits().read("train")
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match=r"no split 'val'.*train, test"):
        Digits().read("val")
