"""The small network for digits."""

import pytest
import torch

from resnet_lab.models.small_resnet import SmallResNet


def test_layers_are_those_of_the_docstring() -> None:
    network = SmallResNet(num_classes=10, in_channels=1)
    assert sum(parameter.numel() for parameter in network.parameters()) == 41_514
    sizes: list[torch.Size] = []
    for name in ("conv1", "block1", "conv2", "block2", "dropout", "fc"):
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: sizes.append(output.shape)
        )
    network(torch.randn(2, 1, 28, 28))
    assert [tuple(size[1:]) for size in sizes] == [
        (16, 24, 24),
        (16, 12, 12),
        (32, 8, 8),
        (32, 4, 4),
        (512,),
        (10,),
    ]


def test_blocks_add_their_input() -> None:
    network = SmallResNet(num_classes=10, in_channels=1)
    features = torch.rand(2, 16, 12, 12)
    for parameter in network.block1.conv2.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(network.block1(features), features)


def test_the_output_is_logits() -> None:
    torch.manual_seed(0)
    network = SmallResNet(num_classes=10, in_channels=1, dropout=0.0)
    logits = network(torch.randn(4, 1, 28, 28))
    for sums in (logits.sum(1), logits.exp().sum(1)):  # neither probabilities nor their logarithms
        assert (sums - 1).abs().min() > 1e-3


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network = SmallResNet(num_classes=10, in_channels=1)
    images = torch.randn(2, 1, 28, 28)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_smallest_image_works_and_a_smaller_one_is_one_clear_line() -> None:
    network = SmallResNet(num_classes=10, in_channels=1)
    assert network(torch.randn(2, 1, 16, 16)).shape == (2, 10)
    with pytest.raises(ValueError, match="image 8x20 is too small for small_resnet: use 16x16"):
        network(torch.randn(2, 1, 8, 20))


def test_wrong_dropout_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match="dropout 1 is out of range: use 0 <= p < 1"):
        SmallResNet(num_classes=10, dropout=1)
