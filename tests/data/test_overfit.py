"""`trainer.overfit_batches`: the same images, in the same order, as they are, in every epoch."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.runs.trained.run import Run


class Seen(Callback):
    """Keep every training and validation batch as the network sees it, by epoch."""

    def __init__(self) -> None:
        self.train: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
        self.val: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def on_train_epoch_start(self, *args: object) -> None:
        self.train.append([])

    def on_validation_epoch_start(self, *args: object) -> None:
        self.val.append([])

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        self.train[-1].append((batch[0].clone(), batch[1].clone()))

    def on_validation_batch_start(self, trainer, module, batch, *indices) -> None:
        self.val[-1].append((batch[0].clone(), batch[1].clone()))


@pytest.mark.parametrize("batches", [1, 2])
def test_every_epoch_trains_on_the_same_images_unchanged(tiny, tmp_path, batches: int) -> None:
    seen = Seen()
    cfg = tiny(
        f"trainer.overfit_batches={batches}", "augment=[trivial,erasing]", "test=null",
        "trainer.max_epochs=3",
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as said, ActiveRun.open(tmp_path / "run", cfg) as run:
        warnings.simplefilter("always")
        fit_and_test(run, seen)
    assert not [str(warning.message) for warning in said if "overfit" in str(warning.message)]
    data = run.build_data()
    data.setup("fit")
    images, indices = data.images("train")
    training = data.normalise(images.pixels[indices])
    for epochs in (seen.train, seen.val):
        assert [len(epoch) for epoch in epochs] == [batches] * 3
        for epoch in epochs[1:]:
            for found, first in zip(epoch, epochs[0], strict=True):
                assert torch.equal(found[0], first[0])
                assert torch.equal(found[1], first[1])
    for batch, labels in seen.train[0]:
        assert len(labels.unique()) > 5  # classes are mixed, also where a folder is sorted by class
        for image in batch:  # it is one of the training part, as it is
            assert (training == image).flatten(1).all(1).any()


def test_images_are_not_mixed_either(tiny, tmp_path) -> None:
    fed: list[torch.Tensor] = []

    class Fed(Callback):
        def on_train_start(self, trainer, module) -> None:
            module.net.register_forward_pre_hook(
                lambda net, images: fed.append(images[0].clone()) if net.training else None
            )

    cfg = tiny("trainer.overfit_batches=1", "augment=[mixup,cutmix]", "test=null")
    with ActiveRun.open(tmp_path / "run", cfg) as run:
        fit_and_test(run, Fed())
    assert len(fed) == 2
    assert torch.equal(fed[0], fed[1])


def test_a_run_cut_short_in_an_epoch_goes_on_there(tiny, tmp_path) -> None:
    data = Run(tmp_path, tiny(), {}).build_data()
    data.setup("fit")
    data.trainer = SimpleNamespace(
        overfit_batches=3, global_rank=0, world_size=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    loader = data.train_dataloader()
    loader.sampler.set_epoch(4)
    loader.load_state_dict({"epoch": 4, "next": 2})
    rest = [batch.labels for batch in loader]
    assert torch.equal(rest[0], list(data.train_dataloader())[2].labels)
