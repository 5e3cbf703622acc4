"""Keep `status.json` up to date while the run trains."""

import statistics
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resnet_lab.active_run import ActiveRun
from resnet_lab.config import mode_of
from resnet_lab.data import ImageDataModule


class Status(Checkpoint):
    """Record each epoch's metrics, the best of them, the speed and the time spent.

    It is a `Checkpoint` to Lightning, which calls those after the task has logged the epoch.

    Args:
        run: whose status is kept.
        monitor: metric that decides what is best.
    """

    def __init__(self, run: ActiveRun, monitor: str) -> None:
        self.run = run
        self.monitor = monitor
        self._rates: list[float] = []  # images/s of each epoch, validation not counted
        self._spent = float(run.status.get("seconds", 0.0))  # by earlier tries of this run
        self._began = self._epoch_began = self._validation_began = 0.0
        self._validating = 0.0
        self._first = 0  # batch of this epoch, where a run goes on in the middle

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log at least once an epoch, however short that is."""
        if stage == "fit":
            data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
            steps = data.size("train") // data.batch_size
            limit: int | float = trainer.limit_train_batches
            steps = min(steps, limit if isinstance(limit, int) else max(1, int(steps * limit)))
            trainer.log_every_n_steps = min(trainer.log_every_n_steps, steps)  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the epoch, also one that the run goes on within."""
        self.run.begin()
        self._epoch_began = time.perf_counter()
        self._first = trainer.fit_loop.epoch_loop.batch_progress.current.completed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the epoch."""
        self._epoch_began, self._validating, self._first = time.perf_counter(), 0.0, 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the validation inside the epoch."""
        _wait(pl_module.device)
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the validation out of the epoch's time."""
        _wait(pl_module.device)
        self._validating += time.perf_counter() - self._validation_began

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch and flush the loggers."""
        _wait(pl_module.device)
        now = time.perf_counter()
        batches = trainer.num_training_batches - self._first
        images = batches * trainer.datamodule.batch_size  # type: ignore[attr-defined]
        self._rates.append(images / (now - self._epoch_began - self._validating))
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if not name.endswith("_step")
        }
        fields: dict[str, Any] = {
            "epochs": trainer.current_epoch + 1,
            "steps": trainer.global_step,
            "seconds": round(self._spent + now - self._began, 3),
            "images_per_second": round(statistics.median(self._rates), 1),
            "metrics": metrics,
        }
        value = metrics.get(self.monitor)
        if value is not None and self._improves(value):
            fields["best"] = {
                "monitor": self.monitor,
                "value": value,
                "epoch": trainer.current_epoch,
                "metrics": metrics,
            }
        self.run.update(**fields)
        for logger in trainer.loggers:
            logger.save()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Flush the loggers: what was logged until a checkpoint is on the disk before it is."""
        for logger in trainer.loggers:
            logger.save()

    def state_dict(self) -> dict[str, Any]:
        """Return what is recorded so far: a run that goes on from here must not know more."""
        seconds = round(self._spent + time.perf_counter() - self._began, 3)
        return {**self.run.of_training(), "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was recorded."""
        self.run.rewind(state_dict)
        self._spent = state_dict["seconds"]

    def _improves(self, value: float) -> bool:
        if "best" not in self.run.status:
            return True
        best: float = self.run.status["best"]["value"]
        # Of equal epochs the later one, as Checkpoint chooses.
        return value <= best if mode_of(self.monitor) == "min" else value >= best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
