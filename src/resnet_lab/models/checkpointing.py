"""Activation checkpointing: less memory, more time (Chen et al. 2016, arXiv:1604.06174).

Only the input of each block is kept; the backward pass recomputes the rest. CIFAR ResNet-1202
then trains on one device. Outputs, gradients, random masks and running statistics are those of the
same network without checkpointing.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class CheckpointedSequential(nn.Sequential):
    """Run modules in sequence, keeping only the input of each for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            if not torch.is_grad_enabled():
                x = module(x)
            elif torch.compiler.is_compiling():
                # The compiler accepts no context of ours, and recomputes without side effects.
                x = checkpoint(module, x, use_reentrant=False)
            else:
                x = checkpoint(module, x, use_reentrant=False, context_fn=partial(contexts, module))
        return x


def contexts(
    module: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the context of the forward pass, and that of the recomputation."""
    return nullcontext(), frozen_statistics(module)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Run batch norms as in training, without updating their running statistics.

    The recomputation would otherwise count every batch twice (pytorch/pytorch#96136). Momentum 0
    does it, and not `track_running_stats`, for autograd must save the same tensors both times.
    """
    kinds = (nn.BatchNorm2d, nn.SyncBatchNorm)
    norms = [norm for norm in module.modules() if isinstance(norm, kinds)]
    saved = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, saved, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
