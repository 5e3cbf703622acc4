"""Show the progress of a run."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from resnet_lab.core.hooks import drawing

SHARE = 1 / 200  # of the time, at most, goes into drawing


@drawing
class ProgressBar(RichProgressBar):
    """Lightning's bar, drawn twice a second, or less often where drawing takes long.

    Lightning brings it up to date at every step, and draws it in a thread of its own. Both take
    time from training: drawing is Python at work for some milliseconds, whatever thread does it.

    Args:
        refresh_rate: how often a second, at most.
    """

    def __init__(self, refresh_rate: int = 2) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self._due = 0.0

    def refresh(self, hard: bool = False) -> None:
        """Draw, if that is due; the end of training draws by itself."""
        start = time.monotonic()
        if self.progress is not None and (hard or start >= self._due):
            self.progress.refresh()
            end = time.monotonic()
            self._due = end + max(1 / self.refresh_rate, (end - start) / SHARE)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Show the step, if drawing is due, and the last one of an epoch."""
        if time.monotonic() >= self._due or trainer.is_last_batch:
            self._update_metrics(trainer, pl_module)
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Any:
        """Return Lightning's metrics and what the task has of its last step."""
        latest = {name: float(value) for name, value in getattr(pl_module, "latest", {}).items()}
        return {**latest, **super().get_metrics(trainer, pl_module)}

    def _get_train_description(self, current_epoch: int) -> str:
        """Count epochs from 1, as everything does that a person reads."""
        of = f"/{self.trainer.max_epochs}" if (self.trainer.max_epochs or 0) > 0 else ""
        return f"Epoch {current_epoch + 1}{of}".ljust(len(self.validation_description))

    def _init_progress(self, trainer: Trainer) -> None:
        super()._init_progress(trainer)
        live = self.progress and self.progress.live
        if live and live._refresh_thread:  # whose end would be waited for, a second in a tiny job
            live._refresh_thread.stop()
            live._refresh_thread = None
            live.auto_refresh = False
