import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from resnet_lab.data.transforms import RandAugment, TrivialAugmentWide


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (TrivialAugmentWide(), v2.TrivialAugmentWide()),
        (RandAugment(), v2.RandAugment()),
        (RandAugment(1, 25), v2.RandAugment(1, 25)),
    ],
)
def test_images_come_out_distributed_as_torchvisions(ours, theirs) -> None:
    image = torch.randint(0, 200, (12, 12, 3), dtype=torch.uint8, generator=seeded(0))
    image[:4] //= 4
    found = ours(image.expand(2000, -1, -1, -1), seeded(0)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        single = image.permute(2, 0, 1)
        wanted = torch.stack([theirs(single) for _ in range(2000)]).permute(0, 2, 3, 1).double()
    for measure in (
        lambda x: x.mean((1, 2, 3)),
        lambda x: x.std((1, 2, 3)),
        lambda x: x[:, :6].mean((1, 2, 3)) - x[:, 6:].mean((1, 2, 3)),
        lambda x: x[:, :, :6].mean((1, 2, 3)) - x[:, :, 6:].mean((1, 2, 3)),
        lambda x: x[:, 6, 6, 0],
    ):
        assert ks_2samp(measure(found), measure(wanted)).pvalue > 0.001


def test_magnitude_zero_changes_little() -> None:
    image = torch.randint(0, 256, (64, 12, 12, 3), dtype=torch.uint8, generator=seeded(0))
    changed = (RandAugment(1, 0)(image, seeded(0)) != image).flatten(1).any(1)
    assert changed.float().mean() < 0.4  # contrast and histogram, and solarize of white pixels


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_ops": 0}, "RandAugment num_ops=0"),
        ({"magnitude": 31}, "RandAugment magnitude=31: must be an integer from 0 to 30"),
        ({"magnitude": -1}, "RandAugment magnitude=-1"),
    ],
)
def test_senseless_arguments_are_refused(arguments, text) -> None:
    with pytest.raises(ValueError, match=text):
        RandAugment(**arguments)
