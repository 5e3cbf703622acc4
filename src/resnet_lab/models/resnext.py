"""ResNeXt (Xie et al. 2017, arXiv:1611.05431): bottlenecks with a grouped 3x3 convolution.

ResNet-50, 101 or 152 (see resnet.py) where the 3x3 convolution of layer1 has `groups` groups, the
cardinality, of `width_per_group` channels, twice as many in each next stage. torchvision's
resnext50_32x4d, 101_32x8d and 101_64x4d load here.

    layer    size  width  ResNeXt-50 32x4d
    conv1    112   64     7x7, stride 2                       (stem cifar: 3x3, stride 1)
    maxpool  56           3x3, stride 2                       (stem cifar: none)
    layer1   56    128    3 bottle to 256
    layer2   28    256    4 bottle to 512
    layer3   14    512    6 bottle to 1024
    layer4   7     1024   3 bottle to 2048
    fc       1            average pool, linear
    parameters, 1000 classes: 25,028,904
"""

from functools import partial
from typing import Any

from resnet_lab.models.residual import check_choice
from resnet_lab.models.resnet import LAYERS, WIDTHS, Bottleneck, ResNet


def resnext(depth: int = 50, groups: int = 32, width_per_group: int = 4, **options: Any) -> ResNet:
    """Build ResNeXt-50, 101 or 152; `options` are ResNet's."""
    check_choice("depth", depth, [depth for depth in LAYERS if depth >= 50])
    block = partial(Bottleneck, groups=groups, width_per_group=width_per_group)
    return ResNet(block, LAYERS[depth], WIDTHS, **options)
