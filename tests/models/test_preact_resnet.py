"""Pre-activation ResNets: published sizes, and nothing on the identity path."""

import pytest
import torch
from torch import nn

from resnet_lab.models.preact_resnet import (
    PreActBasicBlock,
    PreActBottleneck,
    PreActResidualBlock,
    cifar_preact_resnet,
    preact_resnet,
)
from resnet_lab.models.residual import PaddedIdentity


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("depth", "trunk", "total"),
    [
        (18, 11_171_146, 11_172_170),
        (34, 21_279_306, 21_280_330),
        (50, 23_509_066, 23_513_162),
    ],
)
def test_four_stages_have_published_parameters(depth: int, trunk: int, total: int) -> None:
    with torch.device("meta"):
        assert count(preact_resnet(depth, num_classes=10, final_norm=False)) == trunk
        assert count(preact_resnet(depth, num_classes=10)) == total


@pytest.mark.parametrize(
    ("depth", "block", "parameters"),
    [(110, "basic", 1_730_522), (164, "bottleneck", 1_703_258), (1001, "bottleneck", 10_327_706)],
)
def test_three_stages_have_published_parameters(depth: int, block: str, parameters: int) -> None:
    with torch.device("meta"):
        network = cifar_preact_resnet(depth, block, num_classes=10)
    assert count(network) == parameters
    weighted = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in name
    ]
    assert len(weighted) == depth


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_the_trunk_is_linear_where_the_branches_are_zero(block: str) -> None:
    """Negative values pass all blocks: no ReLU stands on the identity path."""
    torch.manual_seed(0)
    network = cifar_preact_resnet(20, block, shortcut="A", num_classes=10, zero_init_residual=True)
    features = torch.randn(2, 16, 8, 8)
    assert (features < 0).any()
    channels = 64 if block == "basic" else 256
    assert torch.equal(network.body(features), PaddedIdentity(16, channels, stride=4)(features))


@pytest.mark.parametrize(("block", "channels"), [(PreActBasicBlock, 16), (PreActBottleneck, 64)])
def test_a_block_adds_its_branch_to_the_raw_input(
    block: type[PreActResidualBlock], channels: int
) -> None:
    torch.manual_seed(0)
    network = block(channels, 16, 1)
    features = torch.randn(2, channels, 4, 4)
    before = features.clone()
    branch = network(features) - features
    shifted = features + 3.0  # The norm of the branch takes the shift away; the shortcut keeps it.
    torch.testing.assert_close(network(shifted), shifted + branch, rtol=1e-4, atol=1e-4)
    assert torch.equal(features, before)


def test_a_projection_sees_the_activated_input() -> None:
    block = PreActBasicBlock(8, 16, 2).eval()
    block.zero_branch()
    assert block(-torch.rand(2, 8, 4, 4)).abs().max() == 0
    assert block(torch.rand(2, 8, 4, 4)).abs().max() > 0


def test_the_last_norm_and_relu_stand_before_the_pool() -> None:
    torch.manual_seed(0)
    network = preact_resnet(18, num_classes=10)
    pooled: list[torch.Tensor] = []
    network.avgpool.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    network(torch.randn(8, 3, 16, 16))
    assert pooled[0].min() == 0
    # A standard normal through a ReLU: half are zero, the second moment is one half.
    assert (pooled[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert pooled[0].square().mean().item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("depth", "block", "message"),
    [
        (110, "basics", "block basics is unknown: use basic or bottleneck"),
        (165, "bottleneck", r"depth 165 is not 9n\+2: use 164 or 173"),
        (111, "basic", r"depth 111 is not 6n\+2: use 110 or 116"),
    ],
)
def test_wrong_option_is_one_clear_line(depth: int, block: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cifar_preact_resnet(depth, block, num_classes=10)


def test_wrong_depth_of_four_stages_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match="depth 164 is unknown: use 18, 34, 50, 101 or 152"):
        preact_resnet(164, num_classes=10)
