"""A residual network of one width: a stem, then any number of equal blocks.

    layer    size  width
    conv1    112   64     7x7, stride 2                       (stem cifar: 3x3, stride 1)
    maxpool  56           3x3, stride 2                       (stem cifar: none)
    layer1   56    width  num_blocks basic
    fc       1            average pool, linear
    parameters, 10 classes, width 64: 10,186 + 73,984 * num_blocks

A block computes y = F(x) + x, or y = F(x) + Wx where the shapes of x and F(x) differ (He et al.
2015, arXiv:1512.03385, equations 1 and 2): in the first block, if `width` is not 64.
"""

from typing import Any

from resnet_lab.models.residual import check_count
from resnet_lab.models.resnet import BasicBlock, ResNet


def uniform_resnet(num_blocks: int, width: int = 64, **options: Any) -> ResNet:
    """Build the network of `num_blocks` basic blocks; `options` are ResNet's."""
    check_count("num_blocks", num_blocks)
    check_count("width", width)
    return ResNet(BasicBlock, (num_blocks,), (width,), **options)
