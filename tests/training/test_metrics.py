import math

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from resnet_lab.training.metrics import ClassificationSums, proportion


def test_sums_agree_with_torchmetrics_over_uneven_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    sums = ClassificationSums(20)
    top1, top5 = (MulticlassAccuracy(20, top_k=k, average="micro") for k in (1, 5))
    all_logits, all_labels = [], []
    for size in (13, 1, 40):
        logits = torch.randn(size, 20, generator=generator)
        labels = torch.randint(20, (size,), generator=generator)
        for metric in (sums, top1, top5):
            metric.update(logits, labels)
        all_logits.append(logits)
        all_labels.append(labels)
    values = sums.compute()
    assert values["acc"] == pytest.approx(top1.compute())
    assert values["acc_top5"] == pytest.approx(top5.compute())
    expected = F.cross_entropy(torch.cat(all_logits), torch.cat(all_labels))
    assert values["loss"] == pytest.approx(expected)
    assert sums.seen.tolist() == torch.bincount(torch.cat(all_labels), minlength=20).tolist()


def test_top5_is_left_out_where_it_says_nothing() -> None:
    sums = ClassificationSums(19)
    sums.update(torch.eye(19), torch.arange(19))
    assert set(sums.compute()) == {"loss", "acc", "seen", "correct"}
    assert set(sums.result()) == {"loss", "acc", "acc_low", "acc_high", "images"}


def test_reset_forgets() -> None:
    sums = ClassificationSums(6)
    sums.update(torch.eye(6), torch.arange(6))
    sums.reset()
    sums.update(torch.eye(6), torch.arange(6).flip(0))
    assert sums.compute()["acc"] == 0


def test_images_are_counted_by_class() -> None:
    generator = torch.Generator().manual_seed(0)
    sums, batches = ClassificationSums(7), []
    for _ in range(3):
        logits = torch.randn(40, 7, generator=generator)
        labels = torch.randint(7, (40,), generator=generator)
        sums.update(logits, labels)
        batches.append((logits.argmax(1), labels))
        found, truth = (torch.cat(parts) for parts in zip(*batches, strict=True))
        values = sums.compute()
        assert values["seen"].tolist() == truth.bincount(minlength=7).tolist()
        assert values["correct"].tolist() == truth[found == truth].bincount(minlength=7).tolist()


# Wilson 1927 as tabulated for 95 %: 8 of 10 gives 0.490 to 0.943.
@pytest.mark.parametrize(
    ("correct", "images", "low", "high"),
    [
        (8, 10, 0.490, 0.943),
        (0, 10, 0.0, 0.278),
        (10, 10, 0.722, 1.0),
        (9123, 10000, 0.9066, 0.9177),
    ],
)
def test_proportion_gives_the_interval_of_wilson(correct, images, low, high) -> None:
    found = proportion(correct, images)
    assert found["acc"] == correct / images
    assert found["acc_low"] == pytest.approx(low, abs=5e-4)
    assert found["acc_high"] == pytest.approx(high, abs=5e-4)


def test_proportion_of_nothing_says_nothing() -> None:
    found = proportion(0, 0)
    assert math.isnan(found["acc"])
    assert (found["acc_low"], found["acc_high"]) == (0, 1)


def test_a_loss_that_is_known_is_not_computed_again() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(7, 6, generator=generator), torch.arange(7) % 6
    known, computed = ClassificationSums(6), ClassificationSums(6)
    known.update(logits, labels, F.cross_entropy(logits, labels))
    computed.update(logits, labels)
    assert known.compute()["loss"] == computed.compute()["loss"]
    known.update(logits, labels, torch.tensor(100.0))
    assert known.compute()["loss"] > 50


def shared(*parts: ClassificationSums) -> ClassificationSums:
    """Return the sums of the first of several processes, which adds up those of the others."""
    first, *others = parts
    states = iter([[getattr(other, name) for other in others] for name in first._reductions])
    first.dist_sync_fn = lambda value, group=None: [value, *next(states)]
    first.distributed_available_fn = lambda: True
    return first


@pytest.mark.parametrize("sizes", [[(2, 2), (1, 0)], [(1, 0)]])
def test_a_process_without_images_changes_no_sum(sizes: list[tuple[int, ...]]) -> None:
    """In the last batch, or in a whole split of fewer images than processes."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 20, generator=generator)
    labels = torch.randint(20, (5,), generator=generator)
    alone, parts, start = (
        ClassificationSums(20),
        (ClassificationSums(20), ClassificationSums(20)),
        0,
    )
    for shares in sizes:
        alone.update(logits[start : start + sum(shares)], labels[start : start + sum(shares)])
        for part, size in zip(parts, shares, strict=True):
            part.update(logits[start : start + size], labels[start : start + size])
            start += size
    found, expected = shared(*parts).compute(), alone.compute()
    assert found["seen"].sum() == start
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
