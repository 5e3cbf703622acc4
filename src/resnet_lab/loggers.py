"""The loggers of a run: Lightning's own, writing straight into the run directory, resumable.

Lightning's CSV logger deletes an earlier `metrics.csv`, and both write a `hparams.yaml`; a run that
goes on after an interruption must keep its curve, and `config.yaml` already tells the rest.
"""

import csv
import time
from collections.abc import Mapping
from pathlib import Path

import lightning.pytorch.loggers as lightning_loggers
from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter

FLUSH_SECONDS = 5  # after which a running TensorBoard shows what a long epoch has logged


class TensorBoardLogger(lightning_loggers.TensorBoardLogger):
    """Write events to `save_dir` itself."""

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__(
            save_dir, name="", version="", default_hp_metric=False, flush_secs=FLUSH_SECONDS
        )

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log all but Lightning's `epoch`, a straight line that would stand first of all curves."""
        kept = {name: value for name, value in metrics.items() if name != "epoch"}
        if kept:
            super().log_metrics(kept, step)

    @rank_zero_only
    def save(self) -> None:
        """Flush, so that a running TensorBoard shows what there is."""
        self.experiment.flush()

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Hide what an interrupted run logged from `step` on; it is about to be logged again."""
        self.experiment.close()
        # TensorBoard reads a run's files in the order of their names, which begin with the second.
        names = [path.name for path in Path(self.log_dir).glob("events.out.tfevents.*")]
        while any(int(name.split(".")[3]) >= int(time.time()) for name in names):
            time.sleep(0.05)
        self._experiment = SummaryWriter(
            log_dir=self.log_dir, purge_step=step, flush_secs=FLUSH_SECONDS
        )


class CSVLogger(lightning_loggers.CSVLogger):
    """Write `metrics.csv` to `save_dir` itself, after what is there."""

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__(save_dir, name="", version="")
        self._writer: _CSVWriter | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> "_CSVWriter":
        """The writer."""
        if self._writer is None:
            self._writer = self._experiment = _CSVWriter(self.log_dir)
        return self._writer

    @rank_zero_only
    def save(self) -> None:
        """Write what was logged since the last call."""
        self.experiment.save()

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drop what an interrupted run logged from `step` on; it is about to be logged again."""
        self.experiment.rewind(step)


class _CSVWriter(_ExperimentWriter):
    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or ())

    def rewind(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        if not path.is_file():
            return
        with path.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if int(row["step"]) < step]
        part = path.with_suffix(".part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(kept)
        part.replace(path)
