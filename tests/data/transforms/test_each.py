"""Transforms of torchvision, image by image: exact, and a function of (seed, epoch, index)."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from resnet_lab.data.transforms.each import is_each, transform_each
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import Command, Compose, column

IMAGES = torch.randint(256, (6, 8, 8, 3), generator=torch.Generator().manual_seed(0)).byte()
ROTATE = "{_target_: torchvision.transforms.v2.RandomRotation, degrees: 30}"


def parity(label: int) -> int:
    return label % 2


def test_each_image_has_its_own_draw_which_its_seed_decides() -> None:
    def noise(image: torch.Tensor) -> torch.Tensor:
        draw = [torch.rand(()), random.random(), np.random.random()]
        return torch.full_like(image, int(sum(map(float, draw)) * 80))

    before = None, random.getstate(), np.random.get_state()[1].sum()
    state = torch.random.get_rng_state()
    first = transform_each([noise], IMAGES, range(6))
    assert len(first.flatten(1).unique()) > 3
    assert transform_each([noise], IMAGES[2:4], [2, 3]).equal(first[2:4])
    assert torch.random.get_rng_state().equal(state)
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].sum() == before[2]


def test_what_a_transform_takes_decides_what_it_is_given() -> None:
    from resnet_lab.data.transforms import RandomCrop

    assert is_each(v2.RandomRotation(10))
    assert is_each(lambda image: image)
    assert not is_each(RandomCrop(1))
    assert not is_each(lambda images, generator: images)


def test_a_run_with_a_transform_of_torchvision_resumes_to_the_last_bit(tiny: Compose) -> None:
    overrides = (f"+data.augment.rotate={ROTATE}", "trainer.max_epochs=3")
    overrides += ("callbacks.checkpoint.keep=all", "scheduler=none")
    train(tiny(*overrides), "whole")
    train(tiny(*overrides, "trainer.max_epochs=1"), "part")
    train(tiny(*overrides), "part")
    for name in ("train/loss", "val/loss"):
        assert column(Path("whole"), name) == column(Path("part"), name)
    weights = [Run.load(name).load_task("last")[0].state_dict() for name in ("whole", "part")]
    assert all(weights[0][key].equal(weights[1][key]) for key in weights[0])


def test_transforms_of_validation_and_test_and_of_labels(composed: Compose) -> None:
    crop = "{crop: {_target_: torchvision.transforms.v2.CenterCrop, size: 4}}"
    cfg = composed(
        f"data.transform={crop}", "data.num_classes=2", "data.image_size=4",
        "data.target_transform={_target_: tests.data.transforms.test_each.parity, _partial_: true}",
    )  # fmt: skip
    data = Run(Path(), cfg, {}, trust=True).build_data()
    data.setup("fit")
    data.setup("test")
    assert data.images("train")[0].pixels.shape[1:] == (8, 8, 1)
    for split, batches in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        images, indices = data.images(split)
        assert images.pixels.shape == (len(indices), 4, 4, 1)
        assert next(iter(batches)).pixels.shape[1:] == (4, 4, 1)
        assert images.labels.unique().tolist() == [0, 1]
    assert data.facts()["classes"] == ["0", "1"]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "+data.augment.a={_target_: torchvision.transforms.v2.ToDtype, "
            "dtype: {_target_: hydra.utils.get_object, path: torch.float32}}",
            "data.augment.a: gives torch.float32 (8, 8, 1)",
        ),
        ("+data.augment.a={_target_: torchvision.transforms.v2.RGB}", "data.augment.a: gives"),
        ("data.transform={a: 3}", "data.transform.a=3: must be an object, by its _target_"),
        ("data.transform=3", "data.transform=3: must be a mapping"),
    ],
)
def test_what_is_wrong_is_one_line(override: str, text: str, command: Command) -> None:
    code, _, said = command(override)
    assert code == 1
    assert text in said
    assert len(said.splitlines()) == 1
