"""Activation checkpointing changes memory, and nothing else."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_lab.models.resnet import ResNet, cifar_resnet
from resnet_lab.models.wide_resnet import cifar_wide_resnet


def step(network: nn.Module, images: Tensor) -> Tensor:
    torch.manual_seed(1)  # The same random masks.
    logits: Tensor = network(images)
    torch.autograd.backward(logits.square().sum())
    return logits


def pair(family: str) -> tuple[ResNet, ResNet]:
    def build(checkpoint: bool) -> ResNet:
        options: dict[str, Any] = {
            "num_classes": 4,
            "stochastic_depth": 0.5,
            "squeeze_excitation": True,
            "checkpoint_activations": checkpoint,
        }
        if family == "wide":
            return cifar_wide_resnet(10, 1, dropout=0.3, **options)
        return cifar_resnet(14, **options)

    torch.manual_seed(0)
    network, twin = build(False), build(True)
    twin.load_state_dict(network.state_dict())
    return network, twin


@pytest.mark.parametrize("family", ["cifar", "wide"])
def test_gradients_and_running_statistics_are_the_same(family: str) -> None:
    network, twin = pair(family)
    images = torch.randn(8, 3, 16, 16)
    for _ in range(2):
        torch.testing.assert_close(step(twin, images), step(network, images))
    for (name, parameter), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, msg=name)
    state = twin.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert twin.get_buffer("layer1.0.bn2.num_batches_tracked") == 2
    assert {m.momentum for m in twin.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


def test_fewer_activations_are_saved() -> None:
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved[-1] += tensor.numel()
        return tensor

    for network in pair("cifar"):
        saved.append(0)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.randn(8, 3, 16, 16))
    assert saved[1] < saved[0] / 2


def test_a_compiled_step_is_the_same() -> None:
    torch.manual_seed(0)
    network = cifar_resnet(8, num_classes=4, checkpoint_activations=True)
    compiled = copy.deepcopy(network)
    compiled.compile(backend="aot_eager", fullgraph=True)
    images = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(step(compiled, images), step(network, images))
    for parameter, other in zip(network.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-4, atol=1e-4)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(compiled.get_buffer(name), buffer)
