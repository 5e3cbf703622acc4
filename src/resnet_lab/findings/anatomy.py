"""Change the residual blocks of a network for the length of a `with`: the network stays as it is.

Each change shadows a method of one block. The seam is `ResidualBlock.add_shortcut(branch, x)`; it
adds in place: what is to be kept must be cloned.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lab.models.residual import ResidualBlock, initialise

# The first block that a change touches, and what makes the change.
Lesion = tuple[int, Callable[[], AbstractContextManager[Any]]]


def blocks_of(net: nn.Module) -> list[ResidualBlock]:
    """Return the residual blocks in the order in which they compute."""
    return [module for module in net.modules() if isinstance(module, ResidualBlock)]


def is_plain(net: nn.Module) -> bool:
    """Return whether the blocks of a network have no shortcuts."""
    return all(block.downsample is None for block in blocks_of(net))


def keeps_shape(block: ResidualBlock) -> bool:
    """Return whether a block without its branch would be the identity."""
    if block.downsample is not None:
        return isinstance(block.downsample, nn.Identity)
    first = next(part for part in block.modules() if isinstance(part, nn.Conv2d))
    strides = {part.stride[0] for part in block.modules() if isinstance(part, nn.Conv2d)}
    return first.in_channels == block.out_channels and strides == {1}


@contextmanager
def shadowed(block: nn.Module, **methods: Callable[..., Any]) -> Iterator[None]:
    """Replace methods of one block."""
    before = {name: vars(block)[name] for name in methods if name in vars(block)}
    for name, method in methods.items():
        setattr(block, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(block, name)
        for name, method in before.items():
            setattr(block, name, method)


@contextmanager
def deleted(blocks: Sequence[ResidualBlock]) -> Iterator[None]:
    """Delete the branches of blocks; their shortcuts stay.

    A plain block becomes the identity, which needs `keeps_shape`.
    """
    with ExitStack() as stack:
        for block in blocks:
            if keeps_shape(block):
                stack.enter_context(shadowed(block, forward=lambda x: x))
            else:
                assert block.downsample is not None
                stack.enter_context(scaled(block, 0.0))
        yield


@contextmanager
def scaled(block: ResidualBlock, factor: float) -> Iterator[None]:
    """Multiply the branch of a block by a factor."""

    def add_shortcut(branch: Tensor, x: Tensor) -> Tensor:
        scaled_branch: Tensor = factor * block.drop_path(block.se(branch))
        return scaled_branch if block.downsample is None else scaled_branch + block.downsample(x)

    with shadowed(block, add_shortcut=add_shortcut):
        yield


@contextmanager
def thinned(gone: Sequence[ResidualBlock], doubled: Sequence[ResidualBlock]) -> Iterator[None]:
    """Delete some blocks, and double the branches of others."""
    with deleted(gone), ExitStack() as stack:
        for block in doubled:
            stack.enter_context(scaled(block, 2.0))
        yield


@contextmanager
def reordered(blocks: Sequence[ResidualBlock], order: Sequence[int]) -> Iterator[None]:
    """Let block `order[i]` compute in the place of block `i`."""
    forwards = [block.forward for block in blocks]
    with ExitStack() as stack:
        for place, number in enumerate(order):
            if place != number:
                stack.enter_context(shadowed(blocks[place], forward=forwards[number]))
        yield


@contextmanager
def reinitialised(block: ResidualBlock, seed: int) -> Iterator[None]:
    """Give a block new random weights; the running means and variances of its norms stay."""
    before = {name: value.clone() for name, value in block.state_dict().items()}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            initialise(block)
        for part in block.modules():
            if isinstance(part, nn.BatchNorm2d) and part.affine:
                nn.init.ones_(part.weight)
                nn.init.zeros_(part.bias)
        yield
    finally:
        block.load_state_dict(before)


@contextmanager
def selected(blocks: Sequence[ResidualBlock], through: Sequence[Tensor]) -> Iterator[None]:
    """Let the gradient take one path: through the branch or the shortcut of each block.

    The forward pass is unchanged. `through` says of each block whether the gradient of each image
    takes the branch, bool [N].
    """

    def one_way(block: ResidualBlock, branches: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        def add_shortcut(branch: Tensor, x: Tensor) -> Tensor:
            assert block.downsample is not None
            branch, shortcut = block.drop_path(block.se(branch)), block.downsample(x)
            way = branches[:, None, None, None]
            by_branch = torch.where(way, branch, branch.detach())
            out: Tensor = by_branch + torch.where(way, shortcut.detach(), shortcut)
            return out

        return add_shortcut

    with ExitStack() as stack:
        for block, branches in zip(blocks, through, strict=True):
            stack.enter_context(shadowed(block, add_shortcut=one_way(block, branches)))
        yield


@contextmanager
def resumed(blocks: Sequence[ResidualBlock], first: int, x: Tensor) -> Iterator[None]:
    """Let the network begin at block `first` with the input `x`; earlier blocks compute nothing."""
    with ExitStack() as stack:
        for block in blocks[:first]:
            stack.enter_context(shadowed(block, forward=lambda _: x))
        yield


@contextmanager
def recorded(
    blocks: Sequence[ResidualBlock], keep: Callable[[str, Tensor], Any]
) -> Iterator[list[tuple[Any, Any, Any]]]:
    """Record each block as it computes: input, branch and output, in a list that fills up.

    `keep` returns what is kept of "input", "branch" or "output", such as a clone.
    """
    found: list[tuple[Any, Any, Any]] = []
    with ExitStack() as stack:
        for block in blocks:
            stack.enter_context(_recording(block, keep, found))
        yield found


@contextmanager
def _recording(
    block: ResidualBlock, keep: Callable[[str, Tensor], Any], found: list[tuple[Any, Any, Any]]
) -> Iterator[None]:
    forward, add_shortcut = block.forward, block.add_shortcut
    branches: list[Any] = []

    def kept_add(branch: Tensor, x: Tensor) -> Tensor:
        branches.append(keep("branch", branch))
        return add_shortcut(branch, x)

    def kept_forward(x: Tensor) -> Tensor:
        entering = keep("input", x)
        out: Tensor = forward(x)
        found.append((entering, branches.pop() if branches else None, keep("output", out)))
        return out

    with shadowed(block, forward=kept_forward, add_shortcut=kept_add):
        yield


def after(net: nn.Module, x: Tensor, lesions: Sequence[Lesion]) -> list[Tensor]:
    """Return the output of a network after each lesion; what comes before one is computed once."""
    blocks = blocks_of(net)
    with recorded(blocks, lambda what, x: x.clone() if what == "input" else None) as entering:
        net(x)
    found = []
    for first, change in lesions:
        with resumed(blocks, first, entering[first][0]), change():
            found.append(net(x))
    return found
