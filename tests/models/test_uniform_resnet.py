"""The network of equal blocks."""

import pytest
import torch
from torch import nn

from resnet_lab.models.uniform_resnet import uniform_resnet


@pytest.mark.parametrize("num_blocks", [1, 2, 40])
def test_parameters_grow_by_one_block(num_blocks: int) -> None:
    with torch.device("meta"):
        network = uniform_resnet(num_blocks, num_classes=10)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 10_186 + 73_984 * num_blocks
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 2 * num_blocks + 2
    assert (network.conv1.kernel_size, network.conv1.stride) == ((7, 7), (2, 2))


@pytest.mark.parametrize(("width", "projections"), [(64, 0), (32, 1)])
def test_only_a_change_of_shape_is_projected(width: int, projections: int) -> None:
    network = uniform_resnet(3, width=width, num_classes=10)
    names = [name for name, _ in network.named_modules() if name.endswith("downsample.0")]
    assert names == ["layer1.0.downsample.0"][:projections]
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_wrong_option_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match="num_blocks 0 is out of range: must be an integer >= 1"):
        uniform_resnet(0, num_classes=10)
    with pytest.raises(ValueError, match="shortcut A cannot narrow 64 channels to 32: use B or C"):
        uniform_resnet(1, width=32, shortcut="A", num_classes=10)
    with pytest.raises(ValueError, match="width 0 is out of range: must be an integer >= 1"):
        uniform_resnet(1, width=0, num_classes=10)
