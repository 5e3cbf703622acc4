"""Show the progress of a run."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from resnet_lab.core.harmless import harmless_callback

SHARE = 1 / 200  # of the time that drawing may take


@harmless_callback
class ProgressBar(RichProgressBar):
    """Lightning's bar, drawn twice a second, or less often if drawing takes long.

    Lightning updates its bar at every step and draws it in a thread, which takes 0.7 ms of a step
    (quartiles 0.6 and 0.8; 5 pairs of runs of a network that costs nothing, CPU time): 2.8 % of a
    step of the small network on MNIST.

    Args:
        refresh_rate: drawings a second, at most.
    """

    def __init__(self, refresh_rate: int = 2) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self._due = 0.0

    def refresh(self, hard: bool = False) -> None:
        """Draw if it is due; `hard` draws at once."""
        start = time.monotonic()
        if self.progress is not None and (hard or start >= self._due):
            self.progress.refresh()
            end = time.monotonic()
            self._due = end + max(1 / self.refresh_rate, (end - start) / SHARE)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        if time.monotonic() >= self._due or trainer.is_last_batch:
            self._update_metrics(trainer, pl_module)
            super().on_train_batch_end(trainer, pl_module, *rest)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Any:
        """Return Lightning's metrics and those of the task's last step."""
        latest = {name: float(value) for name, value in getattr(pl_module, "latest", {}).items()}
        return {**latest, **super().get_metrics(trainer, pl_module)}

    def _get_train_description(self, current_epoch: int) -> str:
        """Describe the epoch, counted from 1."""
        of = f"/{self.trainer.max_epochs}" if (self.trainer.max_epochs or 0) > 0 else ""
        return f"Epoch {current_epoch + 1}{of}".ljust(len(self.validation_description))

    def _init_progress(self, trainer: Trainer) -> None:
        super()._init_progress(trainer)
        live = self.progress and self.progress.live
        if live and live._refresh_thread:  # it would be waited for, 1 / refresh_rate s
            live._refresh_thread.stop()
            live._refresh_thread = None
            live.auto_refresh = False
