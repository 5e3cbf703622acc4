"""Pooling that is reproducible where that is asked for.

PyTorch's own pools add up their gradients on a GPU in whatever order they come, and refuse to under
`torch.use_deterministic_algorithms`. Here they are then made of operations that have a fixed order:
the same outputs bit by bit, the same gradients. A max pool and its gradient then take 4 to 12
times as long (one CPU core, kernel 2 and 3, both memory formats).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaxPool2d(nn.MaxPool2d):
    """nn.MaxPool2d with equal sides, deterministic where that is asked for."""

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        super().__init__(kernel_size, stride, padding)
        self.sides = kernel_size, kernel_size if stride is None else stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """Return the maximum of each window; the gradient goes to the first of equal values."""
        if not torch.are_deterministic_algorithms_enabled():
            pooled: Tensor = super().forward(x)
            return pooled
        kernel, stride, padding = self.sides
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in x.shape[-2:])
        x = F.pad(x, (padding,) * 4, value=-torch.inf)
        offsets = [(row, column) for row in range(kernel) for column in range(kernel)]
        best, *others = (
            x[..., row::stride, column::stride][..., :height, :width] for row, column in offsets
        )
        for other in others:
            best = torch.where((other > best) | other.isnan(), other, best)
        return best


def global_max(x: Tensor) -> Tensor:
    """Return the maximum of each channel, [B, C], of features [B, C, H, W]."""
    if torch.are_deterministic_algorithms_enabled():
        return x.flatten(2).max(2).values
    return F.adaptive_max_pool2d(x, 1).flatten(1)


class AdaptiveAvgPool2d(nn.Module):
    """nn.AdaptiveAvgPool2d with equal sides, deterministic where that is asked for."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of each of side x side windows, which overlap where they must."""
        if not torch.are_deterministic_algorithms_enabled():
            return F.adaptive_avg_pool2d(x, self.side)
        for dim in (2, 3):
            size = x.shape[dim]
            bounds = [
                (size * i // self.side, -(-size * (i + 1) // self.side)) for i in range(self.side)
            ]
            windows = [x.narrow(dim, low, high - low) for low, high in bounds]
            x = torch.cat([window.mean(dim, keepdim=True) for window in windows], dim)
        return x
