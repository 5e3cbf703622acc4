"""The loggers of a run: they write straight into the run directory, and can be rewound.

A run that goes on after an interruption goes on from a checkpoint. What it had logged after that
checkpoint is about to be logged again, so it is taken out first: the record holds each step once.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch.loggers as lightning_loggers
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from resnet_lab.callbacks.tensorboard_tags import tag
from resnet_lab.runs.records import as_csv, read_rows, rewind_events, write_rows

FLUSH_SECONDS = 5  # after which a running TensorBoard shows what a long epoch has logged
FLUSH_ROWS = 100  # of metrics.csv


class TensorBoardLogger(lightning_loggers.TensorBoardLogger):
    """Write events to `save_dir` itself."""

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__(
            save_dir, name="", version="", default_hp_metric=False, flush_secs=FLUSH_SECONDS
        )

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log under the tags of `tag`, without Lightning's `epoch`."""
        kept = {tag(name): value for name, value in metrics.items() if name != "epoch"}
        if kept:
            super().log_metrics(kept, step)

    @rank_zero_only
    def save(self) -> None:
        """Flush, so that a running TensorBoard shows what there is."""
        self.experiment.flush()

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Take out what was logged from `step` on; call it before anything else is logged."""
        rewind_events(Path(self.log_dir), step, before=int(time.time()))


class CSVLogger(Logger):
    """Write `metrics.csv` to `save_dir`, after what is there.

    Lightning's own deletes an earlier file, and a kill while it adds a column loses all rows.
    """

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__()
        self._save_dir = str(save_dir)
        self._path = Path(save_dir) / "metrics.csv"
        self._columns: list[str] | None = None  # None: the file was not looked at yet
        self._rows: list[Mapping[str, Any]] = []  # that are not written yet

    @property
    def name(self) -> str:
        return ""  # the run directory has one

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: `config.yaml` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row; it is written together with others.

        Without `progress/`: all else is the same where a run is repeated or was interrupted.
        """
        kept = {name: v for name, v in metrics.items() if not name.startswith("progress/")}
        if kept:
            self._rows.append({**kept, "step": step or 0})
        if len(self._rows) >= FLUSH_ROWS:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Append the rows that wait; write the file anew where they bring columns."""
        if not self._rows:
            return
        if self._columns is None:
            self._columns, _ = read_rows(self._path)
        more = {name for row in self._rows for name in row} - set(self._columns)
        if more or not self._path.exists():
            columns, (_, earlier) = sorted({*self._columns, *more}), read_rows(self._path)
            write_rows(self._path, columns, [*earlier, *self._rows])
            self._columns = columns
        else:
            with self._path.open("a", newline="") as file:
                file.write(as_csv(self._columns, self._rows))
        self._rows = []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Take out what was logged from `step` on, and what cannot be read."""
        self._rows, self._columns = [], None
        if self._path.exists():
            columns, rows = read_rows(self._path)
            if kept := [row for row in rows if int(row["step"]) < step]:
                write_rows(self._path, columns, kept)
            else:
                self._path.unlink()
