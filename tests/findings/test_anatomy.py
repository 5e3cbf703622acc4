"""Changes of blocks have known effects, and leave the network as it was."""

import pytest
import torch
from torch import nn

from resnet_lab.findings import anatomy
from resnet_lab.models.preact_resnet import cifar_preact_resnet
from resnet_lab.models.resnet import cifar_resnet

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(kind: str = "resnet", **options) -> nn.Module:
    torch.manual_seed(0)
    if kind == "resnet":
        return cifar_resnet(14, num_classes=3, **options).eval()
    return cifar_preact_resnet(14, block="basic", num_classes=3, **options).eval()


@pytest.mark.parametrize("kind", ["resnet", "preact"])
@torch.no_grad()
def test_a_deleted_branch_is_a_branch_of_zeros(kind: str) -> None:
    net, zeros = network(kind), network(kind)
    for number, block in enumerate(anatomy.blocks_of(zeros)):
        before = {name: value.clone() for name, value in block.state_dict().items()}
        block.zero_branch()
        with anatomy.deleted([anatomy.blocks_of(net)[number]]):
            assert torch.allclose(net(X), zeros(X), atol=1e-6)
        block.load_state_dict(before)


@torch.no_grad()
def test_a_network_is_itself_again_after_each_change() -> None:
    net = network()
    blocks, before = anatomy.blocks_of(net), net(X)
    names = [set(vars(block)) for block in blocks]
    changes = (
        anatomy.deleted(blocks), anatomy.scaled(blocks[1], 3.0),
        anatomy.reordered(blocks, [1, 0, 2, 3, 4, 5]), anatomy.reinitialised(blocks[2], 0),
        anatomy.thinned([blocks[1]], [blocks[0]]),
        anatomy.recorded(blocks, lambda what, x: x.clone()),
    )  # fmt: skip
    for number, change in enumerate(changes):
        with change:
            assert torch.equal(net(X), before) == (number == 5)
        assert torch.equal(net(X), before)
        assert [set(vars(block)) for block in blocks] == names


@torch.no_grad()
def test_scaling_by_one_and_the_order_as_it_is_change_nothing() -> None:
    net = network()
    blocks, before = anatomy.blocks_of(net), net(X)
    for change in (anatomy.scaled(blocks[0], 1.0), anatomy.reordered(blocks, range(6))):
        with change:
            assert torch.equal(net(X), before)
    with anatomy.reordered(blocks, [1, 0, 2, 3, 4, 5]), anatomy.scaled(blocks[3], 1.0):
        moved = net(X)
    one, other = (blocks[n].state_dict() for n in (0, 1))
    one, other = ({k: v.clone() for k, v in state.items()} for state in (one, other))
    blocks[0].load_state_dict(other)
    blocks[1].load_state_dict(one)
    assert torch.allclose(moved, net(X), atol=1e-6)


@pytest.mark.parametrize("kind", ["resnet", "preact"])
@torch.no_grad()
def test_a_network_goes_on_from_any_block(kind: str) -> None:
    net = network(kind)
    blocks, before = anatomy.blocks_of(net), net(X)
    with anatomy.recorded(blocks, lambda what, x: x.clone()) as record:
        net(X)
    assert len(record) == 6
    for number in range(1, 6):
        with anatomy.resumed(blocks, number, record[number][0]):
            assert torch.allclose(net(torch.zeros_like(X)), before, atol=1e-6)


def test_a_recording_is_of_the_branch_before_the_shortcut_is_added() -> None:
    net = network("preact")
    with anatomy.recorded(anatomy.blocks_of(net), lambda what, x: x.clone()) as record:
        net(X)
    entering, branch, leaving = record[1]
    assert torch.allclose(entering + branch, leaving, atol=1e-6)


def test_plain_blocks_are_told_apart() -> None:
    plain = network(residual=False)
    assert anatomy.is_plain(plain)
    assert not anatomy.is_plain(network())
    for net in (plain, network()):
        kept = [anatomy.keeps_shape(block) for block in anatomy.blocks_of(net)]
        assert kept == [True, True, False, True, False, True]
