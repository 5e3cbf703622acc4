"""A small residual network for 28x28 digits, without batch norm.

    layer    size  width
    conv1    24    16     5x5, ReLU
    pool     12           2x2, maximum
    block1   12    16     x = relu(x + conv(relu(conv(x)))), each 3x3
    conv2    8     32     5x5, ReLU
    pool     4            2x2, maximum
    block2   4     32     x = relu(x + conv(relu(conv(x)))), each 3x3
    fc       1            dropout, linear of 512
    parameters, 10 classes, 1 channel: 41,514

Returns logits: cross-entropy on them is what log-softmax and NLL compute. The features of other
sizes are averaged to 4x4; the 5x5 convolutions have no padding, so 16x16 is the smallest image.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.models.pooling import AdaptiveAvgPool2d, MaxPool2d
from resnet_lab.models.residual import check_image, check_probability


class SmallBlock(nn.Module):
    """Two 3x3 convolutions with biases around an identity shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.conv1(x), inplace=True)
        out = self.conv2(out)
        out += x
        return F.relu(out, inplace=True)


class SmallResNet(nn.Module):
    """Two convolutions, each followed by a pool and a residual block, then one linear layer.

    Args:
        num_classes: Number of logits.
        in_channels: Channels of the images.
        dropout: Probability that a feature is dropped before the linear layer.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        self.conv1 = nn.Conv2d(in_channels, 16, 5)
        self.block1 = SmallBlock(16)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.block2 = SmallBlock(32)
        self.pool = MaxPool2d(2)
        self.avgpool = AdaptiveAvgPool2d(4)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(32 * 4 * 4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        check_image(x, 16, "small_resnet")
        x = self.block1(self.pool(F.relu(self.conv1(x), inplace=True)))
        x = self.block2(self.pool(F.relu(self.conv2(x), inplace=True)))
        logits: Tensor = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return logits
