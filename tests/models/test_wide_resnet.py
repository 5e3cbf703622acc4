"""Wide ResNets for CIFAR: published sizes, dropout in the branch only."""

import pytest
import torch
from torch import nn

from resnet_lab.models.wide_resnet import cifar_wide_resnet


@pytest.mark.parametrize(
    ("depth", "width", "parameters", "published_millions"),
    [(16, 8, 10_961_370, 11.0), (28, 10, 36_479_194, 36.5), (40, 4, 8_949_210, 8.9)],
)
def test_parameters_are_published(
    depth: int, width: int, parameters: int, published_millions: float
) -> None:
    with torch.device("meta"):
        network = cifar_wide_resnet(depth, width, num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert round(parameters / 1e6, 1) == published_millions


def test_dropout_acts_in_training_on_the_branch_only() -> None:
    torch.manual_seed(0)
    network = cifar_wide_resnet(10, 1, dropout=0.5, num_classes=10)
    twin = cifar_wide_resnet(10, 1, num_classes=10)
    twin.load_state_dict(network.state_dict())
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(network.eval()(images), twin.eval()(images))
    network.train()
    assert not torch.equal(network(images), network(images))

    features = torch.randn(4, 16, 8, 8)
    block = network.get_submodule("layer1.0")
    nn.init.zeros_(block.get_parameter("conv2.weight"))
    assert torch.equal(block(features), features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20, "width": 1}, r"depth 20 is not 6n\+4: use 16 or 22"),
        ({"depth": 28, "width": 0}, "width 0 is out of range: must be an integer >= 1"),
        ({"depth": 28, "width": 1, "dropout": 1.5}, "dropout 1.5 is out of range: use 0 <= p < 1"),
    ],
)
def test_wrong_option_is_one_clear_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cifar_wide_resnet(**options, num_classes=10)  # type: ignore[arg-type]
