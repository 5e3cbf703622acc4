"""The parts of residual networks: block, shortcut, stages, initialisation.

    y = F(x) + shortcut(x)

Here are the shortcuts (He et al. 2015, section 3.3), and the options of any branch F:
squeeze-and-excitation and stochastic depth. The branches are in the files of their families.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.models.checkpointing import CheckpointedSequential


class SqueezeExcitation(nn.Module):
    """Weigh the channels by what their means tell (Hu et al. 2018, arXiv:1709.01507).

    Args:
        channels: Channels of the input.
        squeezed: Channels between the two 1x1 convolutions.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, H, W], each channel times its weight between 0 and 1."""
        means = F.adaptive_avg_pool2d(x, 1)
        weights: Tensor = self.fc2(F.relu(self.fc1(means))).sigmoid()
        return x * weights


class StochasticDepth(nn.Module):
    """Zero the whole branch of random images in training (Huang et al. 2016, arXiv:1603.09382).

    Branches that stay are scaled up to keep the mean, so evaluation needs no correction.

    Args:
        drop_rate: Probability for each image, below 1.
    """

    def __init__(self, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, H, W]; `x` itself in evaluation."""
        if not self.training:
            return x
        stay = 1 - self.drop_rate
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(stay).div_(stay)


class ResidualBlock(nn.Module, ABC):
    """A shortcut and the options of its branch; a subclass adds the branch.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 1, or 2 to halve height and width.
        shortcut: `A`, `B` or `C`; None for a plain block, which has no shortcut.
        projection_norm: Whether a projection is followed by a batch norm.
        squeeze_excitation: Whether to weigh the channels of the branch, with a reduction of 16.
        drop_rate: Probability that StochasticDepth drops the branch of an image.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        shortcut: str | None = "B",
        projection_norm: bool = True,
        squeeze_excitation: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.downsample = make_shortcut(
            shortcut, in_channels, out_channels, stride, norm=projection_norm
        )
        self.se: nn.Module = nn.Identity()
        if squeeze_excitation:
            self.se = SqueezeExcitation(out_channels, max(out_channels // 16, 1))
        self.drop_path: nn.Module = nn.Identity()
        if drop_rate:
            self.drop_path = StochasticDepth(drop_rate)

    def add_shortcut(self, branch: Tensor, x: Tensor) -> Tensor:
        """Return F(x) + shortcut(x). May overwrite `branch`, never `x`."""
        out: Tensor = self.drop_path(self.se(branch))
        if self.downsample is not None:
            out += self.downsample(x)
        return out

    @abstractmethod
    def zero_branch(self) -> None:
        """Make F(x) zero, so that the block starts as its shortcut (Goyal et al. 2017)."""


class PaddedIdentity(nn.Module):
    """Shortcut A: subsample the image, and pad the new channels with zeros.

    Half of the zeros come before the old channels and half behind, as in the published CIFAR
    weights of akamaster/pytorch_resnet_cifar10, which load here. No parameters.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(
                f"shortcut A cannot narrow {in_channels} channels to {out_channels}: use B or C"
            )
        self.stride = stride
        new = out_channels - in_channels
        self.before, self.behind = new // 2, new - new // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, out_channels, H / stride, W / stride], sizes rounded up."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.behind))


def make_shortcut(
    kind: str | None, in_channels: int, out_channels: int, stride: int, *, norm: bool
) -> nn.Module | None:
    """Build shortcut A, B or C for these shapes; None, for a plain block, if `kind` is None."""
    if kind is None:
        return None
    same_shape = stride == 1 and in_channels == out_channels
    if kind == "C" or (kind == "B" and not same_shape):
        projection = conv1x1(in_channels, out_channels, stride)
        if norm:
            return nn.Sequential(projection, nn.BatchNorm2d(out_channels))
        return nn.Sequential(projection)
    return nn.Identity() if same_shape else PaddedIdentity(in_channels, out_channels, stride)


def make_stages(
    block: Callable[..., ResidualBlock],
    in_channels: int,
    layers: Sequence[int],
    widths: Sequence[int],
    *,
    stochastic_depth: float,
    checkpoint_activations: bool,
) -> tuple[list[nn.Sequential], int]:
    """Build the stages, `layers[i]` blocks of width `widths[i]`.

    Every stage but the first begins with stride 2. The drop rate rises linearly, block by block,
    from near 0 to `stochastic_depth`.

    Returns:
        The stages, and the channels of the last one's output.
    """
    container = CheckpointedSequential if checkpoint_activations else nn.Sequential
    stages: list[nn.Sequential] = []
    built = 0
    for depth, width in zip(layers, widths, strict=True):
        blocks: list[ResidualBlock] = []
        for index in range(depth):
            built += 1
            stride = 2 if stages and index == 0 else 1
            drop_rate = stochastic_depth * built / sum(layers)
            blocks.append(block(in_channels, width, stride, drop_rate=drop_rate))
            in_channels = blocks[-1].out_channels
        stages.append(container(*blocks))
    return stages, in_channels


def initialise(network: nn.Module, *, zero_init_residual: bool = False) -> None:
    """Initialise convolutions as He et al. 2015 (arXiv:1502.01852): normal, fan out, ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if zero_init_residual:
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                module.zero_branch()


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Build a 3x3 convolution with padding 1 and no bias: a batch norm follows."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, groups=groups, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Build a 1x1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


def check_choice(what: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raise a ValueError that names the allowed values unless `value` is one of them."""
    *others, last = choices = list(allowed)
    if value not in choices:
        raise ValueError(f"{what} {value} is unknown: use {', '.join(map(str, others))} or {last}")


def check_count(what: str, value: int) -> None:
    """Raise a ValueError unless `value` is an integer >= 1."""
    if value < 1:
        raise ValueError(f"{what} {value} is out of range: must be an integer >= 1")


def check_probability(what: str, value: float) -> None:
    """Raise a ValueError unless `value` is a probability below 1."""
    if not 0 <= value < 1:
        raise ValueError(f"{what} {value} is out of range: use 0 <= p < 1")


def check_image(x: Tensor, smallest: int, model: str) -> None:
    """Raise a ValueError if images [B, C, H, W] are too small for a model."""
    height, width = x.shape[-2:]
    if min(height, width) < smallest:
        raise ValueError(
            f"image {height}x{width} is too small for {model}: "
            f"use {smallest}x{smallest} or more, or model=resnet20"
        )


def blocks_per_stage(depth: int, step: int, extra: int, published: str) -> int:
    """Return n >= 1 of depth = step * n + extra; raise a ValueError with the nearest depths."""
    n, rest = divmod(depth - extra, step)
    if n < 1 or rest:
        below = max(n, 1) * step + extra
        raise ValueError(
            f"depth {depth} is not {step}n+{extra}: "
            f"use {below} or {below + step} (published: {published})"
        )
    return n


def cifar_blocks(depth: int, block: str, basic: str) -> int:
    """Return the blocks of a stage of a CIFAR network: of 6n+2 layers, with bottlenecks of 9n+2.

    `basic` names the published depths of basic blocks, for the message.
    """
    check_choice("block", block, ("basic", "bottleneck"))
    if block == "basic":
        return blocks_per_stage(depth, 6, 2, published=basic)
    return blocks_per_stage(depth, 9, 2, published="164, 1001")
