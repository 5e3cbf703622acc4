"""Split a labelled set in two, with the same proportions of classes."""

import torch
from torch import Tensor

RARE = 10  # images; combinations of labels that fewer have are one group
TENTHS = 10


def stratified_split(labels: Tensor, size: int | float, seed: int) -> tuple[Tensor, Tensor]:
    """Set aside `size` items, drawn class by class in proportion.

    The split depends on `labels`, `size` and `seed` alone: the same on every machine and in every
    run that names the same `seed`.

    Args:
        labels: int64 [N]; or float32 [N, L], whose images are grouped by `groups`.
        size: items to set aside, as a count or as a fraction of N below 1; 0 sets none aside.
        seed: of the draw.

    Returns:
        Sorted indices of the items that stay and of those set aside: int64 [N - size], [size].

    Raises:
        ValueError: `size` is negative or leaves nothing, or a class is too small for two parts.
    """
    total = len(labels)
    if size == 0:
        return torch.arange(total), torch.empty(0, dtype=torch.int64)
    wanted = round(size * total) if isinstance(size, float) else size
    if not 0 < wanted < total or (isinstance(size, float) and size >= 1):
        raise ValueError(
            f"cannot set {size} of {total} images aside: "
            f"give an integer from 0 to {total - 1}, or a fraction between 0 and 1"
        )
    classes, labels = labels.ndim == 1, groups(labels)
    counts = torch.bincount(labels)
    quotas = _quotas(counts, wanted)
    starved = (counts > 0) & ((quotas == 0) | (quotas == counts)) & classes
    if starved.any():
        label = int(starved.nonzero()[0])
        raise ValueError(
            f"setting {wanted} of {total} images aside gives class {label} "
            f"{int(quotas[label])} of its {int(counts[label])}: both parts need at least one; "
            "choose another size"
        )
    generator = torch.Generator().manual_seed(seed)
    aside = torch.zeros(total, dtype=torch.bool)
    for label, quota in enumerate(quotas.tolist()):
        members = (labels == label).nonzero().flatten()
        aside[members[torch.randperm(len(members), generator=generator)[:quota]]] = True
    return (~aside).nonzero().flatten(), aside.nonzero().flatten()


def fold_split(labels: Tensor, folds: int, fold: int, seed: int) -> tuple[Tensor, Tensor]:
    """Set aside one of several folds: parts of equal size and with the same mix of labels.

    Returns sorted indices of the items that stay and of those set aside; the draw is the same for
    every fold. Raises a ValueError if there is no such fold.
    """
    if not 2 <= folds <= len(labels):
        raise ValueError(f"data.folds={folds}: must be an integer from 2 to {len(labels)} (images)")
    if not 0 <= fold < folds:
        raise ValueError(f"data.fold={fold}: must be an integer from 0 to {folds - 1}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[groups(labels)[order].argsort(stable=True)]
    dealt = torch.empty_like(order)
    dealt[order] = torch.arange(len(order)) % folds  # group by group, as cards are
    return (dealt != fold).nonzero().flatten(), (dealt == fold).nonzero().flatten()


def groups(labels: Tensor) -> Tensor:
    """Return the group of each image, int64 [N], that a split keeps in proportion.

    Classes are groups. Several labels (0 or 1) are grouped by their combination, the rare ones
    together; numbers by the tenths of the first one's range of ranks.

    Args:
        labels: int64 [N] or float32 [N, L].
    """
    if labels.ndim == 1:
        return labels
    if ((labels == 0) | (labels == 1)).all():
        combination: Tensor
        _, combination, counts = torch.unique(
            labels, dim=0, return_inverse=True, return_counts=True
        )
        rare: Tensor = counts[combination] < RARE
        combination[rare] = len(counts)
        return combination
    ranks = labels[:, 0].argsort(stable=True).argsort()
    return ranks * TENTHS // len(ranks)


def _quotas(counts: Tensor, wanted: int) -> Tensor:
    """Share `wanted` among classes of these sizes by largest remainder (int64, exact)."""
    exact = counts * wanted
    quotas = exact // counts.sum()
    remainder = exact % counts.sum()
    # A stable sort breaks ties by label, so the split does not depend on the library's sort.
    order = torch.argsort(remainder, descending=True, stable=True)
    quotas[order[: wanted - int(quotas.sum())]] += 1
    return quotas
