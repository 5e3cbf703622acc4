"""A network whose weights several devices share: fully sharded data parallel (FSDP)."""

from functools import partial

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from resnet_lab.training.task import ImageClassifier


class ShardedClassifier(ImageClassifier):
    """Keep of every weight, its gradient and its optimizer state a share on each device.

    The weights of a residual block are gathered when it computes, and dropped afterwards. Within a
    machine they are shared out; each further machine has them all once more. Where a checkpoint is
    only read, this is an `ImageClassifier`.
    """

    def configure_model(self) -> None:
        """Share the weights out, once Lightning knows among whom.

        Raises:
            ValueError: a callback wants a copy of the network.
        """
        if self.device_mesh is None:
            return
        from torch.distributed.fsdp import FSDPModule, fully_shard

        if any(isinstance(callback, WeightAveraging) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            raise ValueError(
                "trainer=fsdp does not go with callbacks=ema or swa: weights that are shared out "
                "cannot be averaged; use trainer=ddp"
            )
        if isinstance(self.net, FSDPModule):  # it was trained, and is tested now
            return
        if isinstance(self.optimizer, partial) and self.optimizer.keywords.get("fused"):
            self.optimizer = partial(self.optimizer, fused=False)  # SGD's does not know shares
        self.net.to(memory_format=torch.contiguous_format)  # others cannot be shared out
        for stage in self.net.children():
            for block in stage if isinstance(stage, nn.Sequential) else ():
                fully_shard(block, mesh=self.device_mesh)
        fully_shard(self.net, mesh=self.device_mesh)

    def on_validation_epoch_start(self) -> None:
        """Measure everywhere what the checkpoint keeps: the statistics of the first process."""
        super().on_validation_epoch_start()
        if self.device_mesh is not None:
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, src=0)
