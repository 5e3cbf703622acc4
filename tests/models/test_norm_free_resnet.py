"""Residual networks without norms."""

import pytest
import torch
from torch import Tensor, nn

from resnet_lab.models.norm_free_resnet import (
    SCHEMES,
    NormFreeBlock,
    NormFreeResNet,
    StandardisedConv2d,
    norm_free_resnet,
)


def variances(network: NormFreeResNet) -> list[float]:
    """Return the variance after each block, of images of Gaussian noise."""
    found: list[float] = []

    def keep(module: nn.Module, inputs: tuple[Tensor], out: Tensor) -> None:
        found.append(out.detach().var((0, 2, 3)).mean().item())

    for block in network.modules():
        if isinstance(block, NormFreeBlock):
            block.register_forward_hook(keep)
    torch.manual_seed(0)
    network(torch.randn(8, 3, 16, 16))
    return found


def build(scheme: str, depth: int = 56) -> NormFreeResNet:
    torch.manual_seed(0)
    return norm_free_resnet(depth, scheme, num_classes=10, shortcut="A")


@pytest.mark.parametrize(
    ("scheme", "depth", "parameters"),
    [
        ("none", 20, 269_018), ("skipinit", 56, 850_997), ("fixup", 110, 1_723_952),
        ("nf", 110, 1_727_930),
    ],
)  # fmt: skip
def test_parameters_are_those_of_the_docstring(scheme: str, depth: int, parameters: int) -> None:
    network = build(scheme, depth)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_without_a_scheme_the_signal_grows_exponentially() -> None:
    found = variances(build("none"))
    assert found[-1] > 1e4 * found[0]


@pytest.mark.parametrize("scheme", ["skipinit", "fixup"])
def test_blocks_begin_as_their_shortcut(scheme: str) -> None:
    block = build(scheme).layer1[0]
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), x)


def test_fixup_begins_with_equal_logits() -> None:
    assert not build("fixup")(torch.randn(2, 3, 8, 8)).any()


def test_nf_adds_little_in_each_block() -> None:
    found = variances(build("nf"))
    assert found[-1] < 5 * found[0]
    stds = [m.std for m in build("nf").modules() if isinstance(m, NormFreeBlock)]
    assert stds[0] == 1
    assert stds[10] == pytest.approx((1 + 10 * 0.2**2) ** 0.5)


def test_standardised_filters_ignore_mean_and_scale_of_the_weights() -> None:
    torch.manual_seed(0)
    conv = StandardisedConv2d(4, 6, 3, padding=1)
    x = torch.randn(2, 4, 8, 8)
    before = conv(x)
    conv.weight.data = 3 * conv.weight.data + 1
    torch.testing.assert_close(conv(x), before, atol=1e-4, rtol=1e-4)


def test_standardised_convolution_keeps_the_variance_behind_relu() -> None:
    torch.manual_seed(0)
    out = StandardisedConv2d(64, 64, 3)(torch.randn(32, 64, 12, 12).relu())
    assert out.var().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_learns_from_a_step(scheme: str) -> None:
    network = build(scheme, 8)
    logits = network(torch.randn(4, 3, 8, 8))
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    learned = [p for p in network.parameters() if p.grad is not None and p.grad.any()]
    assert learned


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="scheme magic is unknown: use none, skipinit, fixup"):
        norm_free_resnet(20, "magic", num_classes=10)
    with pytest.raises(ValueError, match="depth 21 is not 6n"):
        norm_free_resnet(21, "nf", num_classes=10)
