import torch

from resnet_lab.data.loader import BatchLoader
from resnet_lab.data.sources.base import Images


def numbered(count: int = 103) -> Images:
    """Image i has label i."""
    labels = torch.arange(count)
    return Images((labels % 256).to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 2, 2, 1), labels)


def labels_of(loader: BatchLoader) -> list[int]:
    return [label for batch in loader for label in batch.labels.tolist()]


def test_in_order_every_image_comes_once() -> None:
    loader = BatchLoader(numbered(), torch.arange(3, 103), 16)
    assert labels_of(loader) == list(range(3, 103))
    assert len(loader) == 7
    assert [len(batch.labels) for batch in loader][-1] == 4


def test_shuffled_batches_are_whole_without_repeats_and_within_the_indices() -> None:
    loader = BatchLoader(numbered(), torch.arange(3, 103), 16, shuffle=True, drop_last=True)
    found = labels_of(loader)
    assert len(loader) == 6
    assert len(found) == len(set(found)) == 96
    assert set(found) <= set(range(3, 103))


def test_labels_stay_with_their_images() -> None:
    for batch in BatchLoader(numbered(), torch.arange(103), 10, shuffle=True):
        assert batch.pixels[:, 0, 0, 0].tolist() == batch.labels.tolist()


def test_order_and_seeds_change_with_the_epoch_and_come_back_with_it() -> None:
    loader = BatchLoader(numbered(), torch.arange(103), 10, shuffle=True, seed=5)
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)  # as Lightning does
        epochs.append([(batch.labels.tolist(), batch.seed) for batch in loader])
    assert epochs[0] == epochs[2]
    assert epochs[0] != epochs[1]
    seeds = [seed for epoch in epochs[:2] for _, seed in epoch]
    assert len(set(seeds)) == len(seeds)


def test_the_run_seed_changes_the_order_also_when_it_is_zero() -> None:
    first, second = (
        labels_of(BatchLoader(numbered(), torch.arange(103), 10, shuffle=True, seed=seed))
        for seed in (0, 1)
    )
    assert first != second


def test_processes_share_each_batch() -> None:
    def loader(**placing: int) -> BatchLoader:
        return BatchLoader(
            numbered(), torch.arange(103), 10, shuffle=True, drop_last=True, **placing
        )

    whole = [set(batch.labels.tolist()) for batch in loader()]
    parts = [list(loader(rank=rank, world_size=2)) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        first, second = (set(part[number].labels.tolist()) for part in parts)
        assert first | second == batch
        assert not first & second
        assert parts[0][number].seed != parts[1][number].seed


def test_every_process_gets_every_batch_also_one_without_images() -> None:
    labels = torch.arange(5) % 3
    images = Images(torch.zeros(5, 8, 8, 1, dtype=torch.uint8), labels)
    shares = [
        [
            len(batch.labels)
            for batch in BatchLoader(images, torch.arange(5), 4, rank=r, world_size=2)
        ]
        for r in range(2)
    ]
    assert shares == [[2, 1], [2, 0]]


def test_a_balanced_order_is_a_function_of_seed_and_epoch_and_has_all_classes_alike() -> None:
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    images = Images(torch.zeros(1000, 1, 1, 1, dtype=torch.uint8), labels)
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        loader = BatchLoader(
            images, torch.arange(1000), 100, shuffle=True, balanced=True, seed=seed
        )
        loader.set_epoch(epoch)
        orders.append(torch.cat([batch.labels for batch in loader]))
    assert all(abs(count - 333) < 60 for count in torch.bincount(orders[0]).tolist())
    assert orders[0].equal(orders[3])
    assert not orders[0].equal(orders[1])
    assert not orders[0].equal(orders[2])
