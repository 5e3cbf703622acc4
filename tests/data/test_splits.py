import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_lab.data.splits import fold_split, stratified_split


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(10, 60), min_size=2, max_size=8),
    share=st.floats(0.15, 0.6),
    seed=st.integers(0, 2**31),
)
def test_parts_are_disjoint_complete_and_proportional(counts, share, seed) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    stay, aside = stratified_split(labels, share, seed)
    assert sorted([*stay.tolist(), *aside.tolist()]) == list(range(len(labels)))
    assert len(aside) == round(share * len(labels))
    taken = torch.bincount(labels[aside], minlength=len(counts))
    for count, found in zip(counts, taken.tolist(), strict=True):
        assert abs(found - share * count) < 1.51  # rounding of the class, and of the whole


def test_folds_are_disjoint_complete_equal_and_proportional() -> None:
    labels = torch.tensor([0] * 31 + [1] * 20 + [2] * 12)
    folds = [fold_split(labels, 5, fold, seed=3) for fold in range(5)]
    for rest, aside in folds:
        assert torch.cat([rest, aside]).sort().values.equal(torch.arange(63))
        assert len(aside) in (12, 13)
        assert all(
            abs(n - m / 5) <= 1 for n, m in zip(labels[aside].bincount(), (31, 20, 12), strict=True)
        )
    assert torch.cat([aside for _, aside in folds]).sort().values.equal(torch.arange(63))
    assert not fold_split(labels, 5, 0, seed=4)[1].equal(folds[0][1])


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (64, 0), (5, 5), (5, -1)])
def test_there_is_no_such_fold(folds: int, fold: int) -> None:
    with pytest.raises(ValueError, match=r"data.folds?=.*: must be an integer from"):
        fold_split(torch.arange(63) % 3, folds, fold, seed=0)


def test_the_split_depends_on_its_seed_alone() -> None:
    labels = torch.arange(100) % 10
    torch.manual_seed(1)
    first = stratified_split(labels, 20, seed=0)[1]
    torch.manual_seed(2)
    assert torch.equal(first, stratified_split(labels, 20, seed=0)[1])
    assert not torch.equal(first, stratified_split(labels, 20, seed=1)[1])


def test_the_split_is_the_same_in_every_release() -> None:
    labels = torch.arange(20) % 2
    assert stratified_split(labels, 6, seed=0)[1].tolist() == [2, 7, 8, 9, 14, 19]


def test_zero_sets_nothing_aside() -> None:
    stay, aside = stratified_split(torch.arange(10) % 2, 0, seed=0)
    assert (len(stay), len(aside)) == (10, 0)


@pytest.mark.parametrize("size", [-1, 10, 11, 1.5, 1.0])
def test_impossible_size_is_refused(size) -> None:
    with pytest.raises(ValueError, match=f"cannot set {size} of 10"):
        stratified_split(torch.arange(10) % 2, size, seed=0)


def test_a_class_too_small_for_two_parts_is_named() -> None:
    labels = torch.tensor([0] * 20 + [1])
    with pytest.raises(ValueError, match="gives class 1 0 of its 1"):
        stratified_split(labels, 4, seed=0)
