"""Pre-activation residual networks (He et al. 2016, arXiv:1603.05027): y = F(relu(norm(x))) + x.

Norm and ReLU come before each convolution, so nothing stands on the identity path; a last norm and
ReLU follow the last block. Where the shape changes, a bare 1x1 convolution projects what the branch
sees, relu(norm(x)); with shortcut A, x itself is padded and the path stays an identity throughout.
No unit activates its identity; the paper's appendix does so in the first one, right after conv1.

`preact_resnet`: stem 3x3 with stride 1, then the stages of ResNet-18 to 152 (see resnet.py).

    layer    size  width  18          34          50
    conv1    32    64     3x3
    layer1   32    64     2 basic     3 basic     3 bottle
    layer2   16    128    2 basic     4 basic     4 bottle
    layer3   8     256    2 basic     6 basic     6 bottle
    layer4   4     512    2 basic     3 basic     3 bottle
    norm     4            norm, ReLU
    fc       1            average pool, linear
    parameters, 10 classes
                          11,172,170  21,280,330  23,513,162
    without the last norm and ReLU (final_norm: false), as a widely copied implementation has it
                          11,171,146  21,279,306  23,509,066

`cifar_preact_resnet`: three stages, 6n+2 layers (basic) or 9n+2 (bottleneck).

    layer    size  width  110         164         1001
    conv1    32    16     3x3
    layer1   32    16     18 basic    18 bottle   111 bottle
    layer2   16    32     18 basic    18 bottle   111 bottle
    layer3   8     64     18 basic    18 bottle   111 bottle
    norm     8            norm, ReLU
    fc       1            average pool, linear
    parameters, 10 classes
                          1,730,522   1,703,258   10,327,706
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.models.residual import (
    ResidualBlock,
    check_choice,
    cifar_blocks,
    conv1x1,
    conv3x3,
)
from resnet_lab.models.resnet import LAYERS, WIDTHS, ResNet


class PreActResidualBlock(ResidualBlock):
    """A residual block whose projection, if it has one, sees the activated input."""

    bn1: nn.BatchNorm2d

    def __init__(self, in_channels: int, out_channels: int, stride: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, stride, projection_norm=False, **options)
        self.projects = isinstance(self.downsample, nn.Sequential)

    def activate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what enters the branch, and what enters the shortcut."""
        active = F.relu(self.bn1(x), inplace=True)
        return active, active if self.projects else x


class PreActBasicBlock(PreActResidualBlock):
    """Two 3x3 convolutions. `options` are ResidualBlock's.

    Args:
        in_channels: Channels of the input.
        width: Channels of the output.
        stride: Stride of the first convolution.
        dropout: Probability that a unit between the convolutions is dropped.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, width, stride, **options)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out, x = self.activate(x)
        out = F.relu(self.bn2(self.conv1(out)), inplace=True)
        out = self.conv2(self.dropout(out))
        return self.add_shortcut(out, x)

    def zero_branch(self) -> None:
        nn.init.zeros_(self.conv2.weight)


class PreActBottleneck(PreActResidualBlock):
    """1x1, 3x3 and 1x1 convolutions, to 4 * width channels. `options` are ResidualBlock's."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, **options: Any) -> None:
        super().__init__(in_channels, 4 * width, stride, **options)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv1x1(in_channels, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        out, x = self.activate(x)
        out = F.relu(self.bn2(self.conv1(out)), inplace=True)
        out = F.relu(self.bn3(self.conv2(out)), inplace=True)
        out = self.conv3(out)
        return self.add_shortcut(out, x)

    def zero_branch(self) -> None:
        nn.init.zeros_(self.conv3.weight)


class PreActResNet(ResNet):
    """Stem, stages of pre-activation blocks, norm, ReLU, average pool, linear.

    Args:
        block: Makes a block of (in_channels, width, stride): a class, or a partial of one.
        layers: Number of blocks in each stage.
        widths: Width of each stage.
        final_norm: Whether a norm and ReLU follow the last block.
        options: Those of ResNet, but `stem`, which is `cifar`.
    """

    def __init__(
        self,
        block: Callable[..., PreActResidualBlock],
        layers: Sequence[int],
        widths: Sequence[int],
        *,
        final_norm: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(block, layers, widths, stem="cifar", **options)
        del self.bn1  # The first block begins with a norm of its own.
        self.norm = nn.BatchNorm2d(self.fc.in_features) if final_norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.conv1(x))
        if self.norm is not None:
            x = F.relu(self.norm(x), inplace=True)
        return self.classify(x)


def preact_resnet(depth: int, **options: Any) -> PreActResNet:
    """Build pre-activation ResNet-18, 34, 50, 101 or 152; `options` are PreActResNet's."""
    check_choice("depth", depth, LAYERS)
    block = PreActBasicBlock if depth < 50 else PreActBottleneck
    return PreActResNet(block, LAYERS[depth], WIDTHS, **options)


def cifar_preact_resnet(depth: int, block: str = "bottleneck", **options: Any) -> PreActResNet:
    """Build the CIFAR pre-activation ResNet of 9n+2 layers, or 6n+2 with `basic` blocks."""
    n = cifar_blocks(depth, block, "110")
    make_block = PreActBasicBlock if block == "basic" else PreActBottleneck
    return PreActResNet(make_block, (n,) * 3, (16, 32, 64), stem_width=16, **options)
