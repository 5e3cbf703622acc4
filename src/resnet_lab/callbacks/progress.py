"""Show the progress of a run."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Lightning's bar, brought up to date some times a second instead of at every step.

    Collecting the metrics costs a fraction of a millisecond: as much as a step of a small network.

    Args:
        refresh_rate: how often a second.
    """

    def __init__(self, refresh_rate: int = 5) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self._due = 0.0

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Pass on the step that is due, and the last one of an epoch."""
        now = time.monotonic()
        if now >= self._due or trainer.is_last_batch:
            self._due = now + 1 / self.refresh_rate
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _stop_progress(self) -> None:
        live = self.progress and self.progress.live
        if live and live._refresh_thread:
            # Lightning would wait until it wakes; it sleeps a fifth of a second at a time, which is
            # what a tiny job takes.
            live._refresh_thread.refresh_cond = False  # type: ignore[attr-defined]
            live._refresh_thread.stop()
            live._refresh_thread = None
        super()._stop_progress()
