"""Log the norm of the gradient."""

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from resnet_lab.core.harmless import harmless_callback

SHARDED = (FSDPStrategy, ModelParallelStrategy)  # a process holds a part of each gradient


@harmless_callback
class GradientNorm(Callback):
    """Log the Euclidean norm of all gradients, before clipping, at every step that is logged.

    With sharded parameters nothing is logged.
    """

    def on_before_optimizer_step(self, trainer: Trainer, _: Any, optimizer: Any) -> None:
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        step = trainer.global_step
        if not every or (step + 1) % every or isinstance(trainer.strategy, SHARDED):
            return
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients and trainer.is_global_zero:
            norm = torch.nn.utils.get_total_norm(gradients)
            for logger in trainer.loggers:
                logger.log_metrics({"grad_norm": float(norm)}, step)
