import pytest
import torch
from torch.nn import functional as F

from resnet_lab.data.transforms import (
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    TrivialAugmentWide,
)

EVERY = [
    RandomCrop(2),
    RandomHorizontalFlip(),
    RandomErasing(),
    RandAugment(),
    TrivialAugmentWide(),
]


def pixels(batch: int = 200, channels: int = 3, height: int = 6, width: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, height, width, channels)
    return torch.randint(1, 256, shape, generator=generator, dtype=torch.uint8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_crop_is_a_window_of_its_own_padded_image() -> None:
    images = pixels()
    cropped = RandomCrop(2)(images, seeded(1))
    padded = F.pad(images, (0, 0, 2, 2, 2, 2))
    places = set()
    for image, crop in zip(padded, cropped, strict=True):
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(image[top : top + 6, left : left + 8], crop)
        ]
        assert len(found) == 1
        places.update(found)
    assert len(places) == 25  # all places occur: each image draws for itself


def test_one_batch_leaves_nothing_in_the_crops_of_the_next() -> None:
    crop = RandomCrop(2)
    with torch.inference_mode():
        first = crop(torch.full((50, 6, 8, 1), 7, dtype=torch.uint8), seeded(0))
    kept = first.clone()
    second = crop(torch.full((50, 6, 8, 1), 9, dtype=torch.uint8), seeded(1))
    assert torch.equal(first, kept)
    assert set(second.unique().tolist()) == {0, 9}  # the margins are black still


def test_crops_are_uniform_over_the_places() -> None:
    corner = torch.zeros(50_000, 3, 3, 1, dtype=torch.uint8)
    corner[:, 1, 1] = 1
    cropped = RandomCrop(1)(corner, seeded(0))
    counts = cropped.sum(0).flatten().float()
    # Chi-square with 8 degrees of freedom: 26.1 is exceeded once in a thousand.
    assert ((counts - 50_000 / 9) ** 2 / (50_000 / 9)).sum() < 26.1


@pytest.mark.parametrize("change", EVERY, ids=lambda change: type(change).__name__)
@pytest.mark.parametrize("width", [5, 6, 8])
def test_images_may_lie_in_memory_in_any_order(change, width: int) -> None:
    images = pixels(20, 3, 7, width)
    planes = images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    before = planes.clone()
    assert torch.equal(change(planes, seeded(4)), change(images, seeded(4)))
    assert torch.equal(planes, before)


def test_flip_mirrors_the_drawn_images_and_no_other() -> None:
    images = pixels(1000)
    flipped = RandomHorizontalFlip(0.3)(images, seeded(2))
    mirrored = (flipped == images.flip(2)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 250 < mirrored.sum() < 350


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("change", EVERY, ids=lambda c: type(c).__name__)
def test_the_seed_decides_and_the_input_stays(change, channels: int) -> None:
    images = pixels(channels=channels)
    before = images.clone()
    torch.manual_seed(0)
    first = change(images, seeded(3))
    torch.manual_seed(1)  # the global state plays no part
    state = torch.get_rng_state()
    assert torch.equal(first, change(images, seeded(3)))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, change(images, seeded(4)))
    assert torch.equal(images, before)
    assert first.dtype == torch.uint8
    assert first.shape == images.shape


@pytest.mark.parametrize("change", EVERY, ids=lambda c: type(c).__name__)
def test_the_draws_are_the_same_and_the_work_is_done_wherever_the_images_are(change) -> None:
    here, there = seeded(0), seeded(0)
    change(pixels(), here)
    assert change(pixels().to("meta"), there).device.type == "meta"
    assert torch.equal(here.get_state(), there.get_state())


@pytest.mark.parametrize("change", EVERY, ids=lambda c: type(c).__name__)
def test_each_image_draws_for_itself(change) -> None:
    same = pixels(1).expand(200, -1, -1, -1)
    changed = change(same, seeded(0)).flatten(1)
    assert len(changed.unique(dim=0)) >= 2
    if not isinstance(change, RandomHorizontalFlip):
        assert len(changed.unique(dim=0)) > 20


def test_flip_with_probability_zero_and_one() -> None:
    images = pixels(10)
    assert torch.equal(RandomHorizontalFlip(0)(images, seeded(0)), images)
    assert torch.equal(RandomHorizontalFlip(1)(images, seeded(0)), images.flip(2))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RandomCrop(0), "RandomCrop padding=0"),
        (lambda: RandomHorizontalFlip(1.5), "RandomHorizontalFlip p=1.5"),
    ],
)
def test_senseless_arguments_are_refused(make, text) -> None:
    with pytest.raises(ValueError, match=text):
        make()
