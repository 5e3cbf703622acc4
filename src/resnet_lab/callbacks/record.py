"""What was measured on which weights, and the best of it: the one source for all who ask.

Lightning's `trainer.callback_metrics` keeps the last value of a metric that was not measured again:
after an epoch without validation it still shows the earlier one.
"""

import math
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Value(NamedTuple):
    """A value of a metric, and when it was measured."""

    value: float
    epoch: int  # counted from 1
    step: int  # of the optimizer; the weights after it are what the value is of


class Record:
    """The values of a run's metrics, each tied to the weights that it was measured on.

    Args:
        monitor: metric that decides what is best.
        mode: "min" or "max".

    Attributes:
        best: the best `value` of `monitor`, of equal ones the later; its `epoch` (counted from 1)
            and `step`; and the `metrics` of the same weights. None: not measured yet.
    """

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor = monitor
        self.mode = mode
        self.best: dict[str, Any] | None = None
        self._values: dict[str, Value] = {}

    def note(self, split: str, trainer: Trainer) -> bool:
        """Take over the metrics of a split, "train" or "val", which were measured just now.

        Returns whether these weights are the best so far.
        """
        epoch, step = trainer.current_epoch + 1, trainer.global_step
        for name, value in trainer.callback_metrics.items():
            if name.startswith(f"{split}/") and not name.endswith("_step"):
                self._values[name] = Value(float(value), epoch, step)
        improved = self.monitor.startswith(f"{split}/") and self._improved(epoch, step)
        if self.best is not None and self.best["step"] == step:
            self.best["metrics"] = self.of_step(step)
        return improved

    def _improved(self, epoch: int, step: int) -> bool:
        value = self.of_step(step).get(self.monitor)
        if value is None or math.isnan(value):
            return False
        sign = 1 if self.mode == "max" else -1
        if self.best is not None and sign * value < sign * self.best["value"]:
            return False
        # Of equal epochs the later one is better: its learning rate was lower.
        self.best = {"value": value, "epoch": epoch, "step": step, "metrics": {}}
        return True

    def of_step(self, step: int) -> dict[str, float]:
        """Return the metrics that were measured on the weights after a step."""
        return {name: each.value for name, each in self._values.items() if each.step == step}

    def of_epoch(self, name: str, epoch: int) -> float | None:
        """Return the last value of a metric in an epoch (counted from 1); None: not measured."""
        found = self._values.get(name)
        return found.value if found is not None and found.epoch == epoch else None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "values": {name: list(v) for name, v in self._values.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self._values = {name: Value(*value) for name, value in state["values"].items()}


class EpochCallback(Callback):
    """A callback that is told of each epoch once its metrics are known and before it is saved.

    Lightning calls `on_train_epoch_end` of most callbacks before the task logs the epoch. This hook
    is called by `Checkpoint`, in the order of the callbacks.

    Attributes:
        ended: state in which the run ends untested, such as "pruned"; None: it goes its way.
    """

    ended: str | None = None

    def on_epoch_measured(self, trainer: Trainer, task: LightningModule, record: Record) -> None:
        """Look at the epoch."""


def step_plateaus(trainer: Trainer, record: Record) -> None:
    """Tell every ReduceLROnPlateau the epoch's value of its metric, if it has one.

    Lightning does that itself only after the epoch is saved, so that a resumed run would miss it,
    and with an earlier epoch's value where there is none.
    """
    epoch = trainer.current_epoch + 1
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, ReduceLROnPlateau) and epoch % config.frequency == 0:
            assert config.monitor is not None
            value = record.of_epoch(config.monitor, epoch)
            if value is not None:
                config.scheduler.step(value)
