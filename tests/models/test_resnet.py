"""ResNets are those of the paper and of torchvision: layers, parameters, outputs, gradients."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torchvision
from torch import Tensor, nn

from resnet_lab.models.resnet import ResNet, cifar_resnet, resnet
from resnet_lab.models.resnext import resnext
from resnet_lab.models.wide_resnet import wide_resnet

Build = Callable[..., ResNet]


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("stem", "num_classes", "depth", "parameters"),
    [
        ("imagenet", 1000, 18, 11_689_512),
        ("imagenet", 1000, 34, 21_797_672),
        ("imagenet", 1000, 50, 25_557_032),
        ("imagenet", 1000, 101, 44_549_160),
        ("imagenet", 1000, 152, 60_192_808),
        ("cifar", 10, 18, 11_173_962),
        ("cifar", 10, 34, 21_282_122),
        ("cifar", 10, 50, 23_520_842),
        ("cifar", 10, 101, 42_512_970),
        ("cifar", 10, 152, 58_156_618),
    ],
)
def test_imagenet_family_has_published_parameters(
    stem: str, num_classes: int, depth: int, parameters: int
) -> None:
    with torch.device("meta"):
        assert count(resnet(depth, stem=stem, num_classes=num_classes)) == parameters


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [
        (20, 269_722),
        (32, 464_154),
        (44, 658_586),
        (56, 853_018),
        (110, 1_727_962),
        pytest.param(1202, 19_421_274, marks=pytest.mark.slow),
    ],
)
def test_cifar_family_has_published_parameters(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        network = cifar_resnet(depth, num_classes=10)
    assert count(network) == parameters
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth


@pytest.mark.parametrize(
    ("published_name", "build"),
    [
        ("resnext101_32x8d", partial(resnext, 101, groups=32, width_per_group=8)),
        ("resnext101_64x4d", partial(resnext, 101, groups=64, width_per_group=4)),
        ("wide_resnet101_2", partial(wide_resnet, 101)),
    ],
)
def test_large_networks_have_the_names_and_shapes_of_torchvision(
    published_name: str, build: Build
) -> None:
    with torch.device("meta"):
        published = getattr(torchvision.models, published_name)(num_classes=10)
        network = build(num_classes=10)
        images = torch.empty(1, 3, 64, 64)
        assert network(images).shape == published(images).shape
    for described in (
        lambda net: {name: value.shape for name, value in net.state_dict().items()},
        lambda net: {
            name: (layer.stride, layer.padding, layer.groups)
            for name, layer in net.named_modules()
            if isinstance(layer, nn.Conv2d)
        },
    ):
        assert described(network) == described(published)


@pytest.mark.parametrize(
    ("published_name", "build"),
    [
        ("resnet18", partial(resnet, 18)),
        ("resnet34", partial(resnet, 34)),
        ("resnet50", partial(resnet, 50)),
        pytest.param("resnet101", partial(resnet, 101), marks=pytest.mark.slow),
        pytest.param("resnet152", partial(resnet, 152), marks=pytest.mark.slow),
        ("resnext50_32x4d", partial(resnext, 50)),
        pytest.param("wide_resnet50_2", partial(wide_resnet, 50), marks=pytest.mark.slow),
    ],
)
def test_torchvision_weights_give_torchvision_outputs(published_name: str, build: Build) -> None:
    """Weights are drawn anew where torchvision starts with ones, so that none can be confused."""
    torch.manual_seed(0)
    published = getattr(torchvision.models, published_name)(num_classes=10)
    for parameter in published.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.2, 1.0)
    with torch.device("meta"):
        network = build(num_classes=10)
    weights = {name: tensor.clone() for name, tensor in published.state_dict().items()}
    network.load_state_dict(weights, strict=True, assign=True)

    images = torch.randn(2, 3, 64, 64)
    expected, actual = published(images), network(images)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    expected.square().mean().backward()
    actual.square().mean().backward()
    gradients = dict(network.named_parameters())
    for name, parameter in published.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-5, atol=1e-5)
    for name, buffer in published.named_buffers():
        torch.testing.assert_close(network.get_buffer(name), buffer, rtol=1e-5, atol=1e-5)


def test_resnext_and_wide_resnet_have_published_parameters() -> None:
    with torch.device("meta"):
        assert count(resnext(50, num_classes=1000)) == 25_028_904
        assert count(wide_resnet(50, num_classes=1000)) == 68_883_240


@pytest.mark.parametrize(
    ("build", "last_norm"),
    [
        (partial(resnet, 50), "layer4.2.bn3"),
        (partial(cifar_resnet, 20, shortcut="B"), "layer3.2.bn2"),
    ],
)
def test_plain_network_is_the_same_without_shortcuts(build: Build, last_norm: str) -> None:
    torch.manual_seed(0)
    with_shortcuts, plain = build(num_classes=10), build(num_classes=10, residual=False)
    shapes = {name: p.shape for name, p in with_shortcuts.named_parameters()}
    assert any("downsample" in name for name in shapes)
    assert {name: p.shape for name, p in plain.named_parameters()} == {
        name: shape for name, shape in shapes.items() if "downsample" not in name
    }

    # And nothing goes around a block: a branch of zeros lets nothing through.
    nn.init.zeros_(plain.get_parameter(last_norm + ".weight"))
    assert not plain.body(torch.rand(2, plain.conv1.out_channels, 8, 8)).any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: resnet(20, num_classes=2), "depth 20 is unknown: use 18, 34, 50, 101 or 152"),
        (lambda: cifar_resnet(21, num_classes=2), r"depth 21 is not 6n\+2: use 20 or 26 .*1202"),
        (lambda: cifar_resnet(5, num_classes=2), r"depth 5 is not 6n\+2: use 8 or 14 "),
        (
            lambda: cifar_resnet(32, "bottleneck", num_classes=2),
            r"depth 32 is not 9n\+2: use 29 or 38",
        ),
        (
            lambda: cifar_resnet(20, "bottle", num_classes=2),
            "block bottle is unknown: use basic or bottleneck",
        ),
        (
            lambda: cifar_resnet(20, shortcut="D", num_classes=2),
            "shortcut D is unknown: use A, B or C",
        ),
        (
            lambda: resnet(18, stem="mnist", num_classes=2),
            "stem mnist is unknown: use imagenet or cifar",
        ),
        (
            lambda: resnet(18, stochastic_depth=1.0, num_classes=2),
            "stochastic_depth 1.0 is out of range: use 0 <= p < 1",
        ),
        (
            lambda: resnet(18, residual=False, stochastic_depth=0.2, num_classes=2),
            "stochastic_depth needs shortcuts",
        ),
        (
            lambda: resnet(18, residual=False, zero_init_residual=True, num_classes=2),
            "zero_init_residual needs shortcuts",
        ),
        (
            lambda: resnext(18, num_classes=2),
            "depth 18 is unknown: use 50, 101 or 152",
        ),
        (
            lambda: wide_resnet(34, num_classes=2),
            "depth 34 is unknown: use 50, 101 or 152",
        ),
    ],
)
def test_wrong_option_is_one_clear_line(build: Build, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


def test_convolutions_are_drawn_with_the_published_deviation() -> None:
    torch.manual_seed(0)
    for name, weight in cifar_resnet(20, num_classes=10).named_parameters():
        if "conv" in name:
            fan_out = weight.shape[0] * weight[0, 0].numel()
            assert weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15), name


def test_images_of_224_leave_the_last_stage_at_7() -> None:
    sizes: list[Tensor] = []
    with torch.device("meta"):
        network = resnet(18, num_classes=10)
        network.get_submodule("layer4").register_forward_hook(lambda *call: sizes.append(call[-1]))
        network(torch.empty(1, 3, 224, 224))
    assert sizes[0].shape == (1, 512, 7, 7)
