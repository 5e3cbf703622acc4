"""What every one of our networks keeps to; others are composed and built in tests/test_conf.py."""

import copy
import importlib
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from resnet_lab.core.configuration.config import NOT_OF_THE_NETWORK
from tests.helpers import NETWORKS, compose

# Each family in its smallest form; others are tested as they are.
SMALL: dict[str, dict[str, Any]] = {
    "preact_resnet164": {"depth": 11},
    "resnet20": {"depth": 8},
    "resnet9": {"width": 8},
    "resnext50": {"groups": 8},
    "uniform_resnet": {"num_blocks": 2},
    "wide_resnet50": {"width": 1},
    "wrn": {"depth": 10, "width": 1, "dropout": 0.1},
}
IMAGE = 24


def resolve(name: str, **changes: Any) -> dict[str, Any]:
    """Return the options of a network, for data of 7 classes and 1 channel."""
    overrides = [f"model.{key}={value}" for key, value in changes.items()]
    data = ["data=mnist", "data.num_classes=7"]
    config = compose(f"model={name}", *data, *overrides)
    options: Any = OmegaConf.to_container(config.model, resolve=True)
    return options


def build(name: str, **changes: Any) -> nn.Module:
    """Build a network, as the command line does with `model.key=value`."""
    options = resolve(name, **changes)
    module, _, target = options.pop("_target_").rpartition(".")
    options = {key: value for key, value in options.items() if key not in NOT_OF_THE_NETWORK}
    network: nn.Module = getattr(importlib.import_module(module), target)(**options)
    return network


@pytest.fixture(scope="module", params=NETWORKS)
def built(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build(request.param, **SMALL.get(request.param, {}))


@pytest.fixture
def network(built: nn.Module) -> nn.Module:
    """Return a copy: drawing the weights of large networks is what takes time."""
    torch.manual_seed(1)
    return copy.deepcopy(built)


def images(height: int = IMAGE, width: int = IMAGE, batch: int = 4) -> Tensor:
    return torch.randn(batch, 1, height, width)


def test_every_network_has_a_name_of_its_own() -> None:
    names = {resolve(name)["name"] for name in NETWORKS}
    assert len(names) == len(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_yaml_builds_a_network_for_its_data(name: str) -> None:
    with torch.device("meta"):
        assert build(name)(torch.empty(2, 1, 32, 32)).shape == (2, 7)


def test_another_depth_needs_no_file() -> None:
    assert resolve("resnet20", depth=44)["name"] == "resnet44"
    with torch.device("meta"):
        network = build("resnet20", depth=44)
    weighted = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 44


def test_one_step_reaches_every_parameter(network: nn.Module) -> None:
    network(images()).square().sum().backward()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:  # of a fixed layer
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_odd_sizes(network: nn.Module) -> None:
    for height, width in ((17, 30), (33, 25)):
        logits = network(images(height, width))
        assert logits.shape == (4, 7)
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["resnet20", "wrn", "preact_resnet164"])
def test_cifar_families_take_8x8_digits(name: str) -> None:
    logits = build(name, **SMALL[name])(images(8, 8))
    assert logits.shape == (4, 7)
    assert logits.isfinite().all()


def test_channels_last_gives_the_same_logits(network: nn.Module) -> None:
    network.eval()
    x = images()
    expected = network(x)
    network.to(memory_format=torch.channels_last)
    actual = network(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_autocast_to_bfloat16_trains(network: nn.Module) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images(16, 16, batch=2))  # slow where the processor has no bfloat16
    assert logits.dtype == torch.bfloat16
    logits.float().square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_the_input_is_left_as_it_was(network: nn.Module) -> None:
    x = images()
    before = x.clone()
    network(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["resnet20", "wrn", "small_resnet"])
def test_compiles_without_a_graph_break(name: str) -> None:
    """Also with the random parts: stochastic depth, dropout, squeeze-and-excitation."""
    options: dict[str, Any] = dict(SMALL.get(name, {}))
    if name != "small_resnet":
        options |= {"stochastic_depth": 0.5, "squeeze_excitation": True}
    network = build(name, **options)
    x = images()
    network.eval()
    expected = network(x)
    network.compile(backend="eager", fullgraph=True)
    torch.testing.assert_close(network(x), expected)
    network.train()
    network(x).sum().backward()
