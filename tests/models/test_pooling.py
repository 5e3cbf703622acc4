"""Pools that are asked to be deterministic give what the usual ones give, by other operations."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_lab.models.pooling import AdaptiveAvgPool2d, MaxPool2d, global_max
from resnet_lab.models.resnet import resnet
from resnet_lab.models.resnet9 import ResNet9
from resnet_lab.models.small_resnet import SmallResNet

# Those of the operations here whose backward pass torch refuses on a GPU.
NOT_DETERMINISTIC = ("max_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


class Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name().removeprefix("aten::_").removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


def both(pool, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    out = pool(x)
    (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (MaxPool2d(2), (2, 3, 8, 8)),
        (MaxPool2d(2), (2, 3, 7, 9)),
        (MaxPool2d(3, stride=2, padding=1), (2, 3, 8, 8)),
        (MaxPool2d(3, stride=2, padding=1), (2, 3, 7, 11)),
        (global_max, (2, 3, 5, 4)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_maxima_and_gradients_are_the_same(pool, shape, dtype, channels_last) -> None:
    """Of integers in a small range: many are equal, and the first of them gets the gradient."""
    torch.manual_seed(0)
    x = torch.randint(-3, 4, shape).to(dtype)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
    usual = both(pool, x)
    torch.use_deterministic_algorithms(True)
    try:
        fixed = both(pool, x)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(fixed[0], usual[0])
    torch.testing.assert_close(fixed[1], usual[1])


def test_a_number_that_is_none_stays_visible(deterministic) -> None:
    x = torch.zeros(1, 1, 2, 2)
    for place in range(4):
        x.view(-1)[place] = torch.nan
        assert MaxPool2d(2)(x).isnan().all()
        assert global_max(x).isnan().all()
        x.zero_()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 3, 8, 8), (2, 3, 5, 7), (2, 3, 1, 3)])
def test_means_and_gradients_are_the_same(shape) -> None:
    torch.manual_seed(0)
    x, pool = torch.randn(shape), AdaptiveAvgPool2d(4)
    usual = both(pool, x)
    torch.use_deterministic_algorithms(True)
    try:
        fixed = both(pool, x)
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(fixed, usual, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResNet9(num_classes=5, width=4),
        lambda: SmallResNet(num_classes=5),
        lambda: resnet(18, num_classes=5),
    ],
)
def test_networks_train_by_deterministic_operations_alone(make, deterministic) -> None:
    network: nn.Module = make()
    with Calls() as calls:
        network(torch.randn(2, 3, 40, 40)).square().sum().backward()
    assert not [name for name in calls.names if name.startswith(NOT_DETERMINISTIC)]
    assert all(parameter.grad is not None for parameter in network.parameters())
