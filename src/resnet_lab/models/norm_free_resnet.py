"""Residual networks without norms, and four ways to start them: y = scale * F(x) + shortcut(x).

The CIFAR networks of 6n+2 layers of `preact_resnet.py` with ReLU and biases in place of each norm:
conv1, 3 stages of n basic blocks of width 16, 32, 64 with shortcut A, ReLU, average pool, linear.

    scheme     the branch F                                    after
    none       as with norms: He initialisation                each block doubles the variance
    skipinit   times a learned factor that begins with 0       De & Smith 2020, arXiv:2002.10444
    fixup      conv1 begins smaller by n_blocks^(-1/2), conv2  Zhang et al. 2019, arXiv:1901.09321
               and fc with 0; a learned factor
    nf         0.2 F(x / std), std of x as expected at the     Brock et al. 2021, arXiv:2101.08692
               start; weights standardised in each pass

    parameters, 10 classes, RGB    20 layers  56 layers  110 layers
    none                           269,018    850,970    1,723,898
    skipinit and fixup             269,027    850,997    1,723,952
    nf                             269,690    852,986    1,727,930

Otherwise than there: Fixup has the order of pre-activation, and NF-ResNets no learned gain.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.models.residual import ResidualBlock, blocks_per_stage, check_choice
from resnet_lab.models.resnet import ResNet

SCHEMES = ("none", "skipinit", "fixup", "nf")
ALPHA = 0.2  # of NF-ResNets: each block adds ALPHA^2 to the variance
RELU_GAIN = 1.7139588594436646  # sqrt(2 / (1 - 1/pi)): ReLU of unit Gaussians then has variance 1


class StandardisedConv2d(nn.Conv2d):
    """Convolution whose filters have mean 0 and variance 1 / fan-in, times a learned gain."""

    def __init__(self, *shape: Any, **options: Any) -> None:
        super().__init__(*shape, **options)
        self.gain = nn.Parameter(self.weight.new_ones(self.out_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return RELU_GAIN times the convolution: of ReLU's outputs, it keeps the variance."""
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        norm = weight.square().sum((1, 2, 3), keepdim=True).clamp_min(1e-4).sqrt()
        weight = RELU_GAIN * self.gain * weight / norm
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class NormFreeBlock(ResidualBlock):
    """ReLU and a 3x3 convolution, twice. `options` are ResidualBlock's.

    Args:
        in_channels: Channels of the input.
        width: Channels of the output.
        stride: Stride of the first convolution.
        scheme: One of `SCHEMES`.
    """

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, *, scheme: str, **options: Any
    ) -> None:
        super().__init__(in_channels, width, stride, projection_norm=False, **options)
        convolution: type[nn.Conv2d] = StandardisedConv2d if scheme == "nf" else nn.Conv2d
        self.conv1 = convolution(in_channels, width, 3, stride, padding=1)
        self.conv2 = convolution(width, width, 3, padding=1)
        start = {"skipinit": 0.0, "fixup": 1.0}.get(scheme)
        self.factor = None if start is None else nn.Parameter(self.conv1.weight.new_tensor(start))
        self.alpha = ALPHA if scheme == "nf" else 1.0
        self.std = 1.0  # of x, as expected at the start

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(F.relu(x / self.std))
        out = self.alpha * self.conv2(F.relu(out))
        if self.factor is not None:
            out = self.factor * out
        return self.add_shortcut(out, x)

    def zero_branch(self) -> None:
        nn.init.zeros_(self.conv2.weight)


class NormFreeResNet(ResNet):
    """Stem, stages of blocks without norms, ReLU, average pool, linear.

    Args:
        n: Blocks of each of the three stages.
        scheme: One of `SCHEMES`.
        options: Those of ResNet, but what is of the stem and the stages.
    """

    def __init__(self, n: int, scheme: str, **options: Any) -> None:
        make_block = partial(NormFreeBlock, scheme=scheme)
        super().__init__(make_block, (n,) * 3, (16, 32, 64), stem="cifar", stem_width=16, **options)
        del self.bn1
        blocks = [module for module in self.modules() if isinstance(module, NormFreeBlock)]
        for number, block in enumerate(blocks):
            for conv in (block.conv1, block.conv2):
                if conv.bias is not None:
                    nn.init.zeros_(conv.bias)
            if scheme == "fixup":
                block.zero_branch()
                block.conv1.weight.data *= len(blocks) ** -0.5
            elif scheme == "nf":
                block.std = (1 + number * ALPHA**2) ** 0.5
        if scheme == "fixup":
            nn.init.zeros_(self.fc.weight)
            nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(F.relu(self.body(self.conv1(x))))


def norm_free_resnet(depth: int, scheme: str, **options: Any) -> NormFreeResNet:
    """Build the network of 6n+2 layers; `options` are those of ResNet."""
    check_choice("scheme", scheme, SCHEMES)
    n = blocks_per_stage(depth, 6, 2, published="20, 56, 110")
    return NormFreeResNet(n, scheme, **options)
