"""End a run when it no longer improves."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch import callbacks as upstream

from resnet_lab.callbacks.record import EpochCallback, Record


class EarlyStopping(EpochCallback, upstream.EarlyStopping):
    """Lightning's EarlyStopping, which looks once an epoch, and only at values of that epoch.

    `patience` counts the epochs in which `monitor` was measured. Upstream looks at an earlier
    epoch's value where there is no new one.
    """

    setup = Callback.setup
    on_train_epoch_end = Callback.on_train_epoch_end
    on_validation_end = Callback.on_validation_end

    def on_epoch_measured(self, trainer: Trainer, task: LightningModule, record: Record) -> None:
        if record.of_epoch(self.monitor, trainer.current_epoch + 1) is not None:
            self._run_early_stopping_check(trainer)
