"""Log the metrics of a task at once, rather than when it is Lightning's turn.

Lightning writes what `self.log` is given later. A value of a step gets the number of a later step,
and a GPU is waited for at each step; a value of an epoch is written after the checkpoint, so that a
kill between the two loses it.
"""

import math
from collections.abc import Mapping

from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics import Metric


def is_logged(task: LightningModule, batch_idx: int) -> bool:
    """Whether a batch is the last one of a step that is logged."""
    trainer = task.trainer
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if not every or (task.global_step + 1) % every:
        return False
    return not (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch


def write_now(task: LightningModule, values: Mapping[str, Tensor], step: int) -> None:
    """Write values to the loggers.

    Args:
        task: being trained or tested.
        values: by metric, each of one element.
        step: of the optimizer.
    """
    if task.trainer.is_global_zero and not task.trainer.sanity_checking:
        numbers = {name: float(value) for name, value in values.items()}
        for logger in task.loggers:
            logger.log_metrics({**numbers, "epoch": task.current_epoch}, step)


def log_sums(task: LightningModule, split: str, sums: Metric) -> None:
    """Log the metrics of an epoch.

    Args:
        task: being trained or tested.
        split: "train", "val" or "test".
        sums: of the split; its scalars are logged.

    Raises:
        ValueError: the loss is not finite.
    """
    values = {f"{split}/{name}": value for name, value in sums.compute().items() if not value.ndim}
    loss = float(values[f"{split}/loss"])
    if not math.isfinite(loss):
        raise ValueError(
            f"{split}/loss is {loss} in epoch {task.current_epoch + 1}: the training diverged; "
            "lower optimizer.lr, lengthen scheduler.warmup, or set trainer.gradient_clip_val"
        )
    for name, value in values.items():
        # compute() has added up the devices; sync_dist tells Lightning that they agree.
        task.log(name, value, prog_bar=name == "val/acc", sync_dist=True, logger=False)
    # Steps count from 0: the row of the last step has the weights that it left.
    write_now(task, values, task.global_step - (split != "test"))
