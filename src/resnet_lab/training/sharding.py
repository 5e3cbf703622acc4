"""Shard the weights over several devices: fully sharded data parallel (FSDP)."""

from functools import partial

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from resnet_lab.training.task import ImageClassifier


class ShardedClassifier(ImageClassifier):
    """Keep a shard of every weight, gradient and optimizer state on each device.

    The weights of a residual block are gathered when it computes, and dropped afterwards. Weights
    are sharded within a machine and replicated across machines. Where a checkpoint is only read,
    this is an `ImageClassifier`.
    """

    def configure_model(self) -> None:
        """Shard the weights, once Lightning has set up the devices."""
        if self.device_mesh is None:
            return
        from torch.distributed.fsdp import FSDPModule, fully_shard

        if any(isinstance(callback, WeightAveraging) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            raise ValueError(
                "trainer=fsdp does not go with callbacks=ema or swa: sharded weights cannot be "
                "averaged; use trainer=ddp"
            )
        if isinstance(self.net, FSDPModule):  # trained before, tested now
            return
        if isinstance(self.optimizer, partial) and self.optimizer.keywords.get("fused"):
            self.optimizer = partial(self.optimizer, fused=False)  # SGD's does not support shards
        self.net.to(memory_format=torch.contiguous_format)  # the only one that can be sharded
        for stage in self.net.children():
            for block in stage if isinstance(stage, nn.Sequential) else ():
                fully_shard(block, mesh=self.device_mesh)
        fully_shard(self.net, mesh=self.device_mesh)

    def on_validation_epoch_start(self) -> None:
        """Validate with the batch norm statistics of rank zero, which the checkpoint keeps."""
        super().on_validation_epoch_start()
        if self.device_mesh is not None:
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, src=0)
