"""Report a trial of a search while it trains, and end it where it is hopeless."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from resnet_lab.callbacks.record import EpochCallback, Record
from resnet_lab.runs.active import ActiveRun
from resnet_lab.sweeps.trial import read_trial


class Pruning(EpochCallback):
    """Report `monitor` to the study after every epoch; stop after an epoch that the pruner names.

    That is before the epoch is saved: none goes unreported, whenever the run is killed. An epoch
    without a value is not reported. The last epoch is saved like any other.

    Args:
        run: with a `trial.json`.
    """

    def __init__(self, run: ActiveRun) -> None:
        self.monitor = str(run.config.monitor)
        self.trial = read_trial(run.directory) if run.leads else None
        self.told: set[int] = set()  # epochs, by their number from 1
        if self.trial is not None:
            self.told.update(self.trial.study.trials[self.trial.number].intermediate_values)

    def on_epoch_measured(self, trainer: Trainer, task: LightningModule, record: Record) -> None:
        """Report the epoch, and ask."""
        epoch = trainer.current_epoch + 1
        value = record.of_epoch(self.monitor, epoch)
        hopeless = False
        if self.trial is not None and value is not None:
            if epoch not in self.told:
                self.trial.report(value, epoch)
            # Its NumPy bool would make a checkpoint that does not load with weights_only.
            hopeless = epoch != trainer.max_epochs and bool(self.trial.should_prune())
        if trainer.strategy.broadcast(hopeless):  # all processes of the run stop together
            self.ended = "pruned"
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return whether the run was ended, for a run that is killed before it records that."""
        return {"ended": self.ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.ended = state_dict["ended"]
