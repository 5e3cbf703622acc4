"""Report a trial of a search while it trains, and end it where it is hopeless."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resnet_lab.active_run import ActiveRun
from resnet_lab.study import handed_over


class Pruning(Checkpoint):
    """Report `monitor` to the study after every epoch; stop after an epoch that the pruner names.

    It is a `Checkpoint` to Lightning, which calls those after the task has logged the epoch, and
    stands before the one that saves: no epoch goes unreported, whenever the run is killed. The last
    epoch is saved like any other.

    Args:
        run: with a `trial.json`.

    Attributes:
        pruned: whether the run was ended.
    """

    def __init__(self, run: ActiveRun) -> None:
        self.monitor = str(run.config.monitor)
        self.trial = handed_over(run.directory) if run.leads else None
        self.told: set[int] = set()  # epochs, by their number from 1
        if self.trial is not None:
            self.told.update(self.trial.study.trials[self.trial.number].intermediate_values)
        self.pruned = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch, and ask."""
        epoch, value = trainer.current_epoch + 1, trainer.callback_metrics.get(self.monitor)
        hopeless = False
        if self.trial is not None and value is not None:
            if epoch not in self.told:
                self.trial.report(float(value), epoch)
            hopeless = epoch != trainer.max_epochs and self.trial.should_prune()
        self.pruned = trainer.strategy.broadcast(hopeless)  # all processes of the run stop together
        trainer.should_stop = trainer.should_stop or self.pruned
