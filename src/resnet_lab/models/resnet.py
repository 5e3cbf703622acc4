"""Residual networks (He et al. 2015, arXiv:1512.03385): y = relu(F(x) + shortcut(x)).

`resnet`, the ImageNet networks (table 1). basic: 3x3, 3x3. bottle: 1x1, 3x3, 1x1 to 4 x width. The
first block of layer2, 3 and 4 halves the image, a bottleneck in its 3x3 convolution (as torchvision
does, whose weights load here).

    layer    size  width  18          34          50          101         152
    conv1    112   64     7x7, stride 2                       (stem cifar: 3x3, stride 1)
    maxpool  56           3x3, stride 2                       (stem cifar: none)
    layer1   56    64     2 basic     3 basic     3 bottle    3 bottle    3 bottle
    layer2   28    128    2 basic     4 basic     4 bottle    4 bottle    8 bottle
    layer3   14    256    2 basic     6 basic     6 bottle    23 bottle   36 bottle
    layer4   7     512    2 basic     3 basic     3 bottle    3 bottle    3 bottle
    fc       1            average pool, linear
    parameters, stem imagenet, 1000 classes
                          11,689,512  21,797,672  25,557,032  44,549,160  60,192,808
    parameters, stem cifar, 10 classes
                          11,173,962  21,282,122  23,520,842  42,512,970  58,156,618

`cifar_resnet`, the CIFAR networks of 6n+2 layers (section 4.2), or 9n+2 with bottlenecks.

    layer    size  width  20       32       44       56       110        1202
    conv1    32    16     3x3
    layer1   32    16     3        5        7        9        18         200       basic
    layer2   16    32     3        5        7        9        18         200       basic
    layer3   8     64     3        5        7        9        18         200       basic
    fc       1            average pool, linear
    parameters, shortcut A, 10 classes
                          269,722  464,154  658,586  853,018  1,727,962  19,421,274

Shortcuts where the shape changes: A pads with zeros, half of the new channels before the old ones
and half behind; B projects; C projects everywhere. Plain networks (`residual: false`) have the same
layers without shortcuts. Images may have any size. The published weights of ResNet-20 to 110 of
akamaster/pytorch_resnet_cifar10 load here.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.models.pooling import MaxPool2d
from resnet_lab.models.residual import (
    ResidualBlock,
    check_choice,
    check_probability,
    cifar_blocks,
    conv1x1,
    conv3x3,
    initialise,
    make_stages,
)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions. `options` are ResidualBlock's."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, **options: Any) -> None:
        super().__init__(in_channels, width, stride, **options)
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(self.add_shortcut(out, x), inplace=True)

    def zero_branch(self) -> None:
        nn.init.zeros_(self.bn2.weight)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions. `options` are ResidualBlock's.

    Args:
        in_channels: Channels of the input.
        width: Width of the stage: the output has 4 * width channels.
        stride: Stride of the 3x3 convolution.
        groups: Groups of the 3x3 convolution, the cardinality of ResNeXt.
        width_per_group: Channels in a group where `width` is 64, in proportion elsewhere.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        *,
        groups: int = 1,
        width_per_group: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, 4 * width, stride, **options)
        inner = groups * (width * width_per_group // 64)
        self.conv1 = conv1x1(in_channels, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, 4 * width)
        self.bn3 = nn.BatchNorm2d(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return F.relu(self.add_shortcut(out, x), inplace=True)

    def zero_branch(self) -> None:
        nn.init.zeros_(self.bn3.weight)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, average pool, linear: [B, C, H, W] to logits [B, classes].

    Args:
        block: Makes a block of (in_channels, width, stride): a class, or a partial of one.
        layers: Number of blocks in each stage.
        widths: Width of each stage.
        num_classes: Number of logits.
        in_channels: Channels of the images.
        stem: `imagenet` (7x7, stride 2, max pool) or `cifar` (3x3, stride 1).
        stem_width: Channels of the stem.
        shortcut: `A`, `B` or `C`.
        residual: False for a plain network.
        squeeze_excitation: Whether each block weighs its channels.
        stochastic_depth: Drop rate of the last block; it rises linearly from near 0 at the first.
        zero_init_residual: Whether each block starts as its shortcut.
        checkpoint_activations: Whether to recompute the blocks in backward, to save memory.

    Raises:
        ValueError: An option has a value it cannot have, or needs the shortcuts of a plain network.
    """

    def __init__(
        self,
        block: Callable[..., ResidualBlock],
        layers: Sequence[int],
        widths: Sequence[int],
        *,
        num_classes: int,
        in_channels: int = 3,
        stem: str = "imagenet",
        stem_width: int = 64,
        shortcut: str = "B",
        residual: bool = True,
        squeeze_excitation: bool = False,
        stochastic_depth: float = 0.0,
        zero_init_residual: bool = False,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        check_choice("stem", stem, ("imagenet", "cifar"))
        check_choice("shortcut", shortcut, ("A", "B", "C"))
        check_probability("stochastic_depth", stochastic_depth)
        if not residual and (stochastic_depth or zero_init_residual):
            option = "stochastic_depth" if stochastic_depth else "zero_init_residual"
            raise ValueError(f"{option} needs shortcuts: leave it off, or use residual: true")

        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, stem_width, 7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = conv3x3(in_channels, stem_width)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(stem_width)
        kind = shortcut if residual else None
        stages, channels = make_stages(
            partial(block, shortcut=kind, squeeze_excitation=squeeze_excitation),
            stem_width,
            layers,
            widths,
            stochastic_depth=stochastic_depth,
            checkpoint_activations=checkpoint_activations,
        )
        self.stages = [f"layer{number}" for number in range(1, len(stages) + 1)]
        for name, stage in zip(self.stages, stages, strict=True):
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        initialise(self, zero_init_residual=zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.classify(self.body(self.maxpool(x)))

    def body(self, x: Tensor) -> Tensor:
        """Return the features of the last stage: layer1, layer2, ..."""
        for name in self.stages:
            x = getattr(self, name)(x)
        return x

    def classify(self, x: Tensor) -> Tensor:
        """Return the logits of these features."""
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


LAYERS = {
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip
WIDTHS = (64, 128, 256, 512)


def resnet(depth: int, **options: Any) -> ResNet:
    """Build ResNet-18, 34, 50, 101 or 152; `options` are ResNet's."""
    check_choice("depth", depth, LAYERS)
    return ResNet(BasicBlock if depth < 50 else Bottleneck, LAYERS[depth], WIDTHS, **options)


def cifar_resnet(depth: int, block: str = "basic", shortcut: str = "A", **options: Any) -> ResNet:
    """Build the CIFAR ResNet of 6n+2 layers, or 9n+2 with `bottleneck`; `options` are ResNet's."""
    n = cifar_blocks(depth, block, "20, 32, 44, 56, 110, 1202")
    make_block = BasicBlock if block == "basic" else Bottleneck
    return ResNet(
        make_block, (n,) * 3, (16, 32, 64),
        stem="cifar", stem_width=16, shortcut=shortcut, **options,
    )  # fmt: skip
