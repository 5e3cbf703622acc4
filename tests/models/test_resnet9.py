"""ResNet-9."""

import pytest
import torch

from resnet_lab.models.resnet9 import ResNet9


def test_layers_are_those_of_the_docstring() -> None:
    network = ResNet9(num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_573_120
    sizes: list[tuple[int, ...]] = []
    for name in ("conv1", "conv2", "block1", "conv3", "conv4", "block2", "fc"):
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: sizes.append(tuple(output.shape[1:]))
        )
    network(torch.randn(2, 3, 32, 32))
    assert sizes == [
        (64, 32, 32), (128, 32, 32), (128, 16, 16), (256, 16, 16), (512, 8, 8), (512, 4, 4), (10,),
    ]  # fmt: skip


def test_blocks_add_their_input_and_the_logits_are_scaled() -> None:
    network = ResNet9(num_classes=10, in_channels=1, width=4, scale=0.5).eval()
    images = torch.randn(2, 1, 28, 28)
    for block in (network.block1, network.block2):
        torch.nn.init.zeros_(block[1][1].weight)  # the block's last norm: F(x) = 0
    seen: dict[str, torch.Tensor] = {}
    network.block2.register_forward_pre_hook(lambda m, x: seen.update(x=x[0]))
    logits = network(images)
    expected = 0.5 * seen["x"].amax((2, 3)) @ network.fc.weight.T
    torch.testing.assert_close(logits, expected)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="width 0"):
        ResNet9(num_classes=10, width=0)
    with pytest.raises(ValueError, match=r"image 7x9 is too small"):
        ResNet9(num_classes=10, width=2)(torch.randn(2, 3, 7, 9))
