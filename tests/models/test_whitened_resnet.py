"""The whitened ResNet."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from resnet_lab.models.whitened_resnet import WhitenedResNet
from resnet_lab.training.weights.pretrained import initialise_from_images


def test_layers_are_those_of_the_docstring() -> None:
    network = WhitenedResNet(num_classes=10)
    parameters = list(network.parameters())
    assert sum(parameter.numel() for parameter in parameters) == 1_972_768
    assert sum(p.numel() for p in parameters if not p.requires_grad) == 1_440
    sizes: list[tuple[int, ...]] = []
    for name in ("whiten", "block1", "block2", "block3", "fc"):
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: sizes.append(tuple(output.shape[1:]))
        )
    network(torch.randn(2, 3, 32, 32))
    assert sizes == [(24, 31, 31), (64, 15, 15), (256, 7, 7), (256, 3, 3), (10,)]


def test_whitened_patches_are_uncorrelated_with_variance_one() -> None:
    torch.manual_seed(0)
    images = F.avg_pool2d(torch.randn(64, 3, 34, 34), 3, 1)  # neighbours are alike
    network = WhitenedResNet(num_classes=10)
    network.initialise(images)
    found = network.whiten(images).transpose(0, 1).flatten(1)
    covariance = found[:12] @ found[:12].T / found.shape[1]
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.01
    assert ((covariance.diag() > 0.9) & (covariance.diag() < 1.01)).all()
    torch.testing.assert_close(found[12:], -found[:12])


def test_blocks_add_their_input() -> None:
    block = WhitenedResNet(num_classes=10, widths=[4, 4, 4]).block2.eval()
    x = torch.randn(2, 4, 8, 8)
    halved = F.gelu(block.bn1(block.pool(block.conv1(x))))
    torch.testing.assert_close(block(x), F.gelu(halved + block.bn2(block.conv2(halved))))


def test_convolutions_start_as_the_identity() -> None:
    conv2 = WhitenedResNet(num_classes=10).block1.conv2
    x = torch.randn(1, 64, 5, 5)
    torch.testing.assert_close(conv2(x), x)


def test_training_set_initialises_the_network_without_augmentation() -> None:
    images = SimpleNamespace(pixels=torch.rand(20, 9, 9, 3))
    data = SimpleNamespace(
        images=lambda split: (images, torch.arange(5, 15)),
        normalise=lambda pixels: pixels.permute(0, 3, 1, 2),
    )
    network, expected = (WhitenedResNet(num_classes=10, widths=[4, 4, 4]) for _ in range(2))
    initialise_from_images(network, data)
    expected.initialise(images.pixels[5:15].permute(0, 3, 1, 2))
    torch.testing.assert_close(network.whiten.weight, expected.whiten.weight)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match=r"widths \[4, 0, 4\]"):
        WhitenedResNet(num_classes=10, widths=[4, 0, 4])
    with pytest.raises(ValueError, match="image 7x9 is too small"):
        WhitenedResNet(num_classes=10)(torch.randn(2, 3, 7, 9))
