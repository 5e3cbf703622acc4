"""Wide residual networks (Zagoruyko & Komodakis 2016, arXiv:1605.07146): fewer, wider layers.

`cifar_wide_resnet`, WRN-depth-k: pre-activation basic blocks with dropout between the convolutions
(table 1). Depth is 6n+4, for it counts a projection in each stage.

    layer    size  width  WRN-16-8    WRN-28-10   WRN-40-4
    conv1    32    16     3x3
    layer1   32    16k    2 basic     4 basic     6 basic
    layer2   16    32k    2 basic     4 basic     6 basic
    layer3   8     64k    2 basic     4 basic     6 basic
    norm     8            norm, ReLU
    fc       1            average pool, linear
    parameters, 10 classes
                          10,961,370  36,479,194  8,949,210
    published             11.0 M      36.5 M      8.9 M

`wide_resnet`, WRN-50-2: ResNet-50 to 152 (see resnet.py) whose bottlenecks have a 3x3 convolution
`width` times as wide. torchvision's wide_resnet50_2 and 101_2 load here.

    parameters, 1000 classes, WRN-50-2: 68,883,240
"""

from functools import partial
from typing import Any

from resnet_lab.models.preact_resnet import PreActBasicBlock, PreActResNet
from resnet_lab.models.residual import (
    blocks_per_stage,
    check_choice,
    check_count,
    check_probability,
)
from resnet_lab.models.resnet import LAYERS, WIDTHS, Bottleneck, ResNet


def cifar_wide_resnet(depth: int, width: int, dropout: float = 0.0, **options: Any) -> PreActResNet:
    """Build WRN-depth-width.

    Args:
        depth: Number of layers, 6n+4.
        width: The factor k of the paper.
        dropout: Probability that a unit between two convolutions is dropped.
        options: Those of PreActResNet.
    """
    n = blocks_per_stage(depth, 6, 4, published="16, 22, 28, 40")
    check_count("width", width)
    check_probability("dropout", dropout)
    block = partial(PreActBasicBlock, dropout=dropout)
    widths = (16 * width, 32 * width, 64 * width)
    return PreActResNet(block, (n,) * 3, widths, stem_width=16, **options)


def wide_resnet(depth: int = 50, width: int = 2, **options: Any) -> ResNet:
    """Build wide ResNet-50, 101 or 152, `width` times as wide inside; `options` are ResNet's."""
    check_choice("depth", depth, [depth for depth in LAYERS if depth >= 50])
    block = partial(Bottleneck, width_per_group=64 * width)
    return ResNet(block, LAYERS[depth], WIDTHS, **options)
