"""Report a trial of a search while it trains, and stop it if the pruner says so."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from resnet_lab.callbacks.record import EpochCallback, Record
from resnet_lab.runs.active import ActiveRun
from resnet_lab.sweeps.searching.study import read_trial


class Pruning(EpochCallback):
    """Report `monitor` to the study after every epoch; stop when the pruner says so.

    It reports before the epoch is saved, so that no epoch is missed if the run is killed. An epoch
    without a value is not reported.
    """

    def __init__(self, run: ActiveRun) -> None:
        self.monitor = str(run.config.monitor)
        self.trial = read_trial(run.directory) if run.leads else None
        self.reported: set[int] = set()  # epochs, by their number from 1
        if self.trial is not None:
            self.reported.update(self.trial.study.trials[self.trial.number].intermediate_values)

    def on_epoch_measured(self, trainer: Trainer, task: LightningModule, record: Record) -> None:
        epoch = trainer.current_epoch + 1
        value = record.of_epoch(self.monitor, epoch)
        prune = False
        if self.trial is not None and value is not None:
            if epoch not in self.reported:
                self.trial.report(value, epoch)
            # Its NumPy bool would make a checkpoint that does not load with weights_only.
            prune = epoch != trainer.max_epochs and bool(self.trial.should_prune())
        if trainer.strategy.broadcast(prune):  # all processes of the run stop together
            self.ended = "pruned"
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return whether the run was ended, for a run that is killed before it records that."""
        return {"ended": self.ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.ended = state_dict["ended"]
