import math

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import v2

from resnet_lab.data.transforms import RandomErasing


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def black(batch: int, channels: int = 1, height: int = 28, width: int = 20) -> torch.Tensor:
    return torch.zeros(batch, height, width, channels, dtype=torch.uint8)


def rectangles(erased: torch.Tensor) -> torch.Tensor:
    """Return top, left, height, width of what is not black, int64 [n, 4], and hold it to be one."""
    found = []
    for mask in (erased != 0).any(-1):
        if mask.any():
            rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
            height, width = len(rows), len(columns)
            top, left = int(rows[0]), int(columns[0])
            assert mask.sum() == height * width
            assert mask[top : top + height, left : left + width].all()
            found.append((top, left, height, width))
    return torch.tensor(found)


def test_one_rectangle_of_each_chosen_image_is_erased_and_nothing_else() -> None:
    images = torch.randint(1, 255, (500, 28, 20, 3), dtype=torch.uint8, generator=seeded(0))
    erased = RandomErasing(p=0.5, value=0.0)(images, seeded(1))
    changed = erased != images
    places = rectangles(changed)
    assert 200 < len(places) < 300
    assert len(places.unique(dim=0)) > 150
    assert (changed.all(-1) == changed.any(-1)).all()  # all channels or none
    assert (erased[changed] == 0).all()


@pytest.mark.parametrize("shape", [(28, 20), (8, 8)])
def test_rectangles_are_distributed_as_torchvisions(shape: tuple[int, int]) -> None:
    options = {"p": 0.7, "scale": (0.02, 0.4), "ratio": (0.3, 3.3)}
    ours = RandomErasing(**options, value=1.0)(black(3000, 1, *shape), seeded(0))
    theirs = v2.RandomErasing(**options, value=255)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one = torch.zeros(1, *shape, dtype=torch.uint8)
        others = torch.stack([theirs(one) for _ in range(3000)]).permute(0, 2, 3, 1)
    found, wanted = rectangles(ours).double(), rectangles(others).double()
    assert abs(len(found) - len(wanted)) < 3.3 * math.sqrt(2 * 3000 * 0.7 * 0.3)
    for measure in (
        lambda r: r[:, 2] * r[:, 3],  # area
        lambda r: r[:, 2] / r[:, 3],  # aspect
        lambda r: r[:, 0] / (shape[0] - r[:, 2]),  # where it lies in what is left
        lambda r: r[:, 1] / (shape[1] - r[:, 3]),
    ):
        assert ks_2samp(measure(found), measure(wanted)).pvalue > 0.001


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_uniform_over_the_bytes(channels: int) -> None:
    noise = RandomErasing(p=1, scale=(0.3, 0.3))(black(300, channels), seeded(0))
    values = noise[noise != 0].double()
    assert values.mean() == pytest.approx(128, abs=1)
    assert values.std() == pytest.approx(math.sqrt((255**2 - 1) / 12), abs=1)
    if channels == 3:  # each channel has its own
        assert torch.corrcoef(noise[(noise != 0).all(-1)].T.double())[0, 1].abs() < 0.02


def test_a_shade_may_be_given_per_channel() -> None:
    erased = RandomErasing(p=1, value=[0.2, 0.4, 1.0])(black(10, 3), seeded(0))
    assert erased.unique(dim=0).flatten(0, 2).unique(dim=0).tolist() == [[0] * 3, [51, 102, 255]]
    with pytest.raises(ValueError, match="has 3 shades for images of 1 channels"):
        RandomErasing(p=1, value=[0.2, 0.4, 1.0])(black(10, 1), seeded(0))


def test_probability_zero_and_one() -> None:
    assert len(rectangles(RandomErasing(p=0)(black(200), seeded(0)))) == 0
    assert len(rectangles(RandomErasing(p=1, value=1.0)(black(200), seeded(0)))) == 200


def test_an_image_that_no_rectangle_fits_stays() -> None:
    subject = RandomErasing(p=1, scale=(1, 1), ratio=(1, 1), value=1.0)
    assert len(rectangles(subject(black(10, 1, 8, 8), seeded(0)))) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"p": 1.5},
        {"scale": [0.4, 0.02]},
        {"scale": [0.2]},
        {"scale": [0.2, 1.4]},
        {"ratio": [0, 3]},
        {"value": 255},
        {"value": [0.5, -1]},
    ],
)
def test_senseless_arguments_are_refused(arguments) -> None:
    with pytest.raises(ValueError, match=f"RandomErasing {next(iter(arguments))}="):
        RandomErasing(**arguments)
