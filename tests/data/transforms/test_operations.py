import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from resnet_lab.data.transforms.operations import OPERATIONS, apply

# Torchvision's own ways from a name and a magnitude to its functional operations.
TORCHVISION = {"wide": v2.TrivialAugmentWide(), "moderate": v2.RandAugment()}
BLENDS = ("Brightness", "Color", "Contrast", "Sharpness")


def pictures(count: int, channels: int, height: int, width: int) -> Tensor:
    """Return uint8 [N, C, H, W]: a third noise, a third of low contrast, a third flat patches."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (count, channels, height, width), generator=generator)
    noise[1::3] = 90 + noise[1::3] // 4
    noise[2::3] = noise[2::3, :, :1, :1]
    noise[2::3, :, : height // 2] //= 2
    return noise.to(torch.uint8)


def strengths(space: str, name: str, height: int, width: int) -> Tensor:
    """Return all that torchvision draws from, both ways where it does, float64 [N]."""
    levels, signed = TORCHVISION[space]._AUGMENTATION_SPACE[name]
    values = levels(31, height, width)
    values = torch.zeros(3) if values is None else values
    return torch.cat([values, -values] if signed else [values]).double()


@pytest.mark.parametrize("shape", [(3, 12, 17), (3, 32, 32), (1, 28, 28)], ids=str)
@pytest.mark.parametrize("space", TORCHVISION)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_does_what_torchvisions_does(name: str, space: str, shape) -> None:
    strength = strengths(space, name, *shape[1:])
    images = pictures(len(strength), *shape)
    before = images.clone()
    theirs = TORCHVISION[space]
    wanted = torch.stack([
        theirs._apply_image_or_video_transform(
            image, name, float(value), interpolation=theirs.interpolation, fill=theirs._fill
        )
        for image, value in zip(images, strength, strict=True)
    ])  # fmt: skip
    found = OPERATIONS[name](images, strength)
    assert found.dtype == torch.uint8
    assert torch.equal(images, before)
    differ = (found.int() - wanted.int()).abs()
    if name in BLENDS:  # the sum is ordered otherwise
        assert differ.max() <= 1
        assert (differ > 0).float().mean() < 0.02
    else:  # a place between two pixels may be rounded to either
        assert (differ > 0).float().mean() < (
            0.002 if name in ("ShearX", "ShearY", "Rotate") else 1e-9
        )


@pytest.mark.parametrize("name", [n for n in OPERATIONS if n not in ("Identity", "Color")])
def test_an_operation_does_something(name: str) -> None:
    images = pictures(9, 1, 16, 16)
    strength = strengths("wide", name, 16, 16)[-1].expand(9)
    assert not torch.equal(OPERATIONS[name](images, strength), images)


def test_flat_parts_keep_their_colour_exactly() -> None:
    """What rounds 199.99998 down would darken each of them."""
    flat = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 5, 5)
    for name in ("Color", "Contrast", "Sharpness"):
        for strength in torch.linspace(-0.99, 0.99, 61).double():
            assert torch.equal(OPERATIONS[name](flat, strength.expand(256)), flat), name


def test_every_image_gets_its_own_operation_and_strength() -> None:
    images = pictures(70, 3, 16, 16)
    operation = torch.arange(70) % len(OPERATIONS)
    strength = torch.linspace(0.1, 0.9, 70).double()
    changed = apply(images.permute(0, 2, 3, 1), operation, strength).permute(0, 3, 1, 2)
    for number, kind in enumerate(operation):
        alone = list(OPERATIONS.values())[kind](images[[number]], strength[[number]])
        assert torch.equal(changed[number], alone[0])
