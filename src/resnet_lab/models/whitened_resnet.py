"""Whitened ResNet: a fixed whitening convolution and three residual blocks, for fast training.

    layer    size  width
    whiten   31    24     2x2, fixed: decorrelates patches, see `initialise`
    block1   15    64     x = pool(conv(.)), then x + conv(x)
    block2   7     256
    block3   3     256
    fc       1            maximum over the image, linear without bias, times `scale`
    parameters, 10 classes, RGB: 1,972,768, of which 1,440 fixed

Each convolution of a block is 3x3 with padding 1, followed by batch norm without scale and GELU;
the 2x2 maximum comes before the norm. Convolutions start as the identity of their first channels
(dirac). After K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), whose airbench96
adds its shortcut over two of three convolutions. Other sizes pass; 9x9 is the smallest.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.models.pooling import MaxPool2d, global_max
from resnet_lab.models.residual import check_image

PATCH = 2  # side of the patches that are whitened


class WhitenedBlock(nn.Module):
    """Halve the image and change its width, then add one convolution to its input."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, out_channels)
        self.pool = MaxPool2d(2)
        self.bn1 = _norm(out_channels)
        self.conv2 = _convolution(out_channels, out_channels)
        self.bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.bn1(self.pool(self.conv1(x))))
        return F.gelu(x + self.bn2(self.conv2(x)))


class WhitenedResNet(nn.Module):
    """Whiten patches, then three residual blocks.

    Args:
        num_classes: Number of logits.
        in_channels: Channels of the images.
        widths: Channels of the three blocks.
        scale: Factor on the logits.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        widths: list[int] | tuple[int, ...] = (64, 256, 256),
        scale: float = 1 / 9,
    ) -> None:
        super().__init__()
        if len(widths) != 3 or min(widths) < 1:
            raise ValueError(f"widths {list(widths)}: must be three integers >= 1")
        self.scale = scale
        whitened = 2 * in_channels * PATCH**2
        self.whiten = nn.Conv2d(in_channels, whitened, PATCH, bias=False)
        self.whiten.weight.requires_grad_(False)
        self.block1 = WhitenedBlock(whitened, widths[0])
        self.block2 = WhitenedBlock(widths[0], widths[1])
        self.block3 = WhitenedBlock(widths[1], widths[2])
        self.fc = nn.Linear(widths[2], num_classes, bias=False)

    @torch.no_grad()
    def initialise(self, images: Tensor) -> None:
        """Set the whitening filters to the scaled eigenvectors of the patches, and their negatives.

        Args:
            images: of the training set as the network gets them: float32 [N, in_channels, H, W].
        """
        patches = F.unfold(images, PATCH).transpose(1, 2).flatten(0, 1).double()
        variances, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (variances + 5e-4).sqrt()).T.view(-1, *self.whiten.weight.shape[1:])
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, x: Tensor) -> Tensor:
        check_image(x, 9, "whitened_resnet")
        x = F.gelu(self.whiten(x))
        x = self.block3(self.block2(self.block1(x)))
        logits: Tensor = self.fc(global_max(x))
        return logits * self.scale


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    identity = min(in_channels, out_channels)
    nn.init.dirac_(convolution.weight[:identity])
    return convolution


def _norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad_(False)
    return norm
