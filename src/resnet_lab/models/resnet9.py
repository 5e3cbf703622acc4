"""ResNet-9: a short, wide residual network for images of about 32x32, made to be trained fast.

    layer    size  width
    conv1    32    64
    conv2    32    128    then 2x2 maximum
    block1   16    128    x + conv(conv(x))
    conv3    16    256    then 2x2 maximum
    conv4    8     512    then 2x2 maximum
    block2   4     512    x + conv(conv(x))
    fc       1            maximum over the image, linear without bias, times `scale`
    parameters, 10 classes, RGB: 6,573,120

Each conv is 3x3 with padding 1, followed by batch norm and ReLU. After D. Page, "How to train your
ResNet" (2018), whose entry led DAWNBench's CIFAR-10 table. Other sizes pass; 8x8 is the smallest.
"""

from torch import Tensor, nn

from resnet_lab.models.pooling import MaxPool2d, global_max
from resnet_lab.models.residual import check_count, check_image, initialise


class ConvUnit(nn.Sequential):
    """Convolution 3x3, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ResNet9(nn.Module):
    """Four convolutions and two residual blocks of two convolutions each.

    Args:
        num_classes: Number of logits.
        in_channels: Channels of the images.
        width: Channels of the first convolution; the last has eight times as many.
        scale: Factor on the logits, which keeps the first losses small at large learning rates.
    """

    def __init__(
        self, num_classes: int, in_channels: int = 3, width: int = 64, scale: float = 0.125
    ) -> None:
        super().__init__()
        check_count("width", width)
        self.scale = scale
        self.conv1 = ConvUnit(in_channels, width)
        self.conv2 = ConvUnit(width, 2 * width)
        self.block1 = nn.Sequential(ConvUnit(2 * width, 2 * width), ConvUnit(2 * width, 2 * width))
        self.conv3 = ConvUnit(2 * width, 4 * width)
        self.conv4 = ConvUnit(4 * width, 8 * width)
        self.pool = MaxPool2d(2)
        self.block2 = nn.Sequential(ConvUnit(8 * width, 8 * width), ConvUnit(8 * width, 8 * width))
        self.fc = nn.Linear(8 * width, num_classes, bias=False)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        check_image(x, 8, "resnet9")
        x = self.pool(self.conv2(self.conv1(x)))
        x = x + self.block1(x)
        x = self.pool(self.conv4(self.pool(self.conv3(x))))
        x = x + self.block2(x)
        logits: Tensor = self.fc(global_max(x))
        return logits * self.scale
