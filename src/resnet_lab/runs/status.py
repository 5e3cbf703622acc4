"""Keep `status.json` up to date while the run trains."""

import math
import statistics
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from resnet_lab.callbacks.record import EpochCallback, Record
from resnet_lab.core.device import synchronize
from resnet_lab.data import ImageDataModule
from resnet_lab.runs.active import ActiveRun


class Status(EpochCallback):
    """Record each epoch's metrics, the best of them, the speed and the time spent."""

    def __init__(self, run: ActiveRun) -> None:
        self.run = run
        self._rates: list[float] = []  # images/s of each epoch, validation not counted
        self._spent = float(run.status.get("seconds", 0.0))  # by earlier tries of this run
        self._began = self._epoch_began = self._validation_began = 0.0
        self._validating = 0.0
        self._recorded: dict[str, Any] | None = None
        self._first = 0  # batch of this epoch, where a run goes on in the middle

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log at least once an epoch, however short that is."""
        if stage == "fit":
            data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
            steps = data.size("train") // data.batch_size
            limit: int | float = trainer.limit_train_batches
            steps = min(steps, limit if isinstance(limit, int) else max(1, int(steps * limit)))
            steps = math.ceil(steps / trainer.accumulate_grad_batches)  # of the optimizer
            trainer.log_every_n_steps = min(trainer.log_every_n_steps, steps)  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, from what was recorded when the checkpoint was written."""
        if self._recorded is not None:
            self.run.rewind(self._recorded)
            self._spent = self._recorded["seconds"]
        self._began = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time the epoch, also one that the run goes on within."""
        self.run.begin()
        self._epoch_began = time.perf_counter()
        self._first = trainer.fit_loop.epoch_loop.batch_progress.current.completed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_began, self._validating, self._first = time.perf_counter(), 0.0, 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        synchronize(pl_module.device)
        self._validating += time.perf_counter() - self._validation_began

    def on_epoch_measured(self, trainer: Trainer, task: LightningModule, record: Record) -> None:
        synchronize(task.device)
        now = time.perf_counter()
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.completed - self._first
        images = batches * trainer.datamodule.batch_size  # type: ignore[attr-defined]
        seconds = now - self._epoch_began
        self._rates.append(images / (seconds - self._validating))
        progress = {
            "progress/epoch": trainer.current_epoch + 1,
            "progress/images_per_second": self._rates[-1],
            "progress/seconds_per_epoch": seconds,
        }
        if task.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(task.device)
            progress["progress/gpu_memory_gib"] = memory / 2**30
        fields: dict[str, Any] = {
            "epochs": trainer.current_epoch + 1,
            "steps": trainer.global_step,
            "seconds": round(self._spent + now - self._began, 3),
            "images_per_second": round(statistics.median(self._rates), 1),
            "metrics": record.of_step(trainer.global_step),
        }
        self.run.status.pop("best", None)  # of an epoch that a killed process did not save
        if record.best is not None:
            fields["best"] = {"monitor": record.monitor, "mode": record.mode, **record.best}
        self.run.update(**fields)
        for logger in trainer.loggers:
            logger.log_metrics(progress, trainer.global_step - 1)
            logger.save()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the data's facts, and flush the loggers: they are on the disk before it is."""
        checkpoint.setdefault("data", dict(trainer.datamodule.facts()))  # type: ignore[attr-defined]
        for logger in trainer.loggers:
            logger.save()

    def state_dict(self) -> dict[str, Any]:
        """Return what is recorded so far: a run that goes on from here must not know more."""
        seconds = round(self._spent + time.perf_counter() - self._began, 3)
        return {**self.run.of_training(), "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it for `on_fit_start`: a test loads a checkpoint too, and takes nothing back."""
        self._recorded = state_dict
