"""Shortcuts, squeeze-and-excitation, stochastic depth and zero initialisation do what they say."""

import pytest
import torch
from torch import Tensor, nn

from resnet_lab.models.residual import PaddedIdentity
from resnet_lab.models.resnet import BasicBlock, Bottleneck, ResNet, cifar_resnet, resnet


def blocks(network: ResNet) -> list[BasicBlock | Bottleneck]:
    return [m for m in network.modules() if isinstance(m, BasicBlock | Bottleneck)]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("channels", "before"), [(8, 2), (7, 2), (6, 1), (3, 0)])
def test_shortcut_a_subsamples_and_pads_both_sides_with_zeros(channels: int, before: int) -> None:
    images = torch.randn(2, 3, 5, 7)
    out = PaddedIdentity(3, channels, stride=2)(images)
    assert out.shape == (2, channels, 3, 4)
    assert torch.equal(out[:, before : before + 3], images[:, :, ::2, ::2])
    assert not out[:, :before].any()
    assert not out[:, before + 3 :].any()


def test_shortcut_a_keeps_channels_last() -> None:
    images = torch.randn(2, 16, 8, 8).to(memory_format=torch.channels_last)
    out = PaddedIdentity(16, 32, stride=2)(images)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("shortcut", "projections"), [("A", 0), ("B", 2), ("C", 9)])
def test_shortcut_projects_where_it_should(shortcut: str, projections: int) -> None:
    network = cifar_resnet(20, shortcut=shortcut, num_classes=10)
    names = [name for name, _ in network.named_parameters() if name.endswith("downsample.0.weight")]
    assert len(names) == projections
    if shortcut == "B":
        assert names == ["layer2.0.downsample.0.weight", "layer3.0.downsample.0.weight"]


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_zero_initialised_blocks_start_as_their_shortcut(shortcut: str) -> None:
    network = cifar_resnet(20, shortcut=shortcut, num_classes=10, zero_init_residual=True)
    features = torch.rand(2, 16, 8, 8)
    assert torch.equal(network.get_submodule("layer1")(features), features)
    if shortcut == "A":
        expected = PaddedIdentity(16, 64, stride=4)(features)
        assert torch.equal(network.body(features), expected)


def test_zero_initialised_bottlenecks_start_as_their_shortcut() -> None:
    network = resnet(50, stem="cifar", num_classes=10, zero_init_residual=True)
    features = torch.rand(2, 256, 4, 4)
    assert torch.equal(network.get_submodule("layer1.1")(features), features)


def test_squeeze_excitation_adds_its_two_layers_to_every_block() -> None:
    for depth in (18, 50):
        with torch.device("meta"):
            network = resnet(depth, num_classes=10)
            excited = resnet(depth, num_classes=10, squeeze_excitation=True)
        channels = [block.out_channels for block in blocks(network)]
        added = sum(2 * c * (c // 16) + c // 16 + c for c in channels)
        assert count(excited) == count(network) + added


def test_squeeze_excitation_weighs_the_branch_by_channel() -> None:
    torch.manual_seed(0)
    block = BasicBlock(32, 32, squeeze_excitation=True).eval()
    images = torch.rand(2, 32, 4, 4)
    for gate, passes in ((-100.0, 0), (100.0, 1)):
        nn.init.constant_(block.get_parameter("se.fc2.bias"), gate)
        twin = BasicBlock(32, 32).eval()
        twin.load_state_dict(block.state_dict(), strict=False)
        expected = twin(images) if passes else images
        torch.testing.assert_close(block(images), expected)


def test_stochastic_depth_drops_whole_branches_at_rates_that_rise_linearly() -> None:
    """An identity block that drops its branch returns its (non-negative) input untouched."""
    torch.manual_seed(0)
    network = cifar_resnet(20, num_classes=10, stochastic_depth=0.5)
    images = torch.rand(3000, 3, 4, 4)
    rates: list[float] = []

    def measure(block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        same_shape = inputs[0].shape == output.shape
        dropped = (output == inputs[0]).flatten(1).all(1) if same_shape else torch.tensor(torch.nan)
        rates.append(dropped.float().mean().item())

    for block in blocks(network):
        block.register_forward_hook(measure)
    with torch.no_grad():
        network(images)
    expected = [0.5 * number / 9 for number in range(1, 10)]
    measured = [(rate, p) for rate, p in zip(rates, expected, strict=True) if rate == rate]
    assert len(measured) == 7
    for rate, p in measured:
        # Four standard deviations of a proportion.
        assert rate == pytest.approx(p, abs=4 * (p * (1 - p) / 3000) ** 0.5)


def test_stochastic_depth_keeps_the_mean_of_the_branch() -> None:
    torch.manual_seed(0)
    block = BasicBlock(8, 8, drop_rate=0.25).eval()
    images = torch.rand(64, 8, 4, 4)
    nn.init.uniform_(block.bn2.bias, 1.0, 2.0)  # The sum stays positive: no ReLU to see.
    branch = block(images) - images
    block.drop_path.train()
    out = block(images) - images
    kept = out.flatten(1).abs().amax(1) > 0
    assert 0 < kept.sum() < 64
    torch.testing.assert_close(out[kept], branch[kept] / 0.75)
    assert not out[~kept].any()


def test_stochastic_depth_is_absent_in_evaluation() -> None:
    torch.manual_seed(0)
    network = cifar_resnet(20, num_classes=10)
    dropping = cifar_resnet(20, num_classes=10, stochastic_depth=0.5)
    dropping.load_state_dict(network.state_dict())
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(dropping.eval()(images), network.eval()(images))
    assert not torch.equal(dropping.train()(images), network.train()(images))
