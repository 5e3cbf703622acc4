"""Decide what is best, and write the best and the last checkpoint of a run."""

import io
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from resnet_lab.callbacks.record import EpochCallback, Record, step_plateaus


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replace a checkpoint atomically: a reader finds the old one or the new one.

    Lightning writes to the system's temporary directory and moves the file from there, which across
    file systems is a copy: a kill or a full disk leaves half a `last.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`, or leave `path` as it was."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        part = final.with_name(f".{final.name}.part")
        try:
            buffer = io.BytesIO()  # torch reports a full disk as a wrong position in the file
            torch.save(checkpoint, buffer)
            part.write_bytes(buffer.getbuffer())
            part.replace(final)
        except OSError as error:  # a failed write does not say where
            raise OSError(error.errno, error.strerror, str(final)) from error
        finally:
            part.unlink(missing_ok=True)


class Checkpoint(ModelCheckpoint):
    """Decide which weights are the best, and write `best.ckpt` and `last.ckpt` below `checkpoints`.

    best.ckpt is written between the measurement of `monitor` and the next step, also within an
    epoch, so that it holds the weights that were measured; last.ckpt after every epoch, once every
    `EpochCallback` has run. It is a ModelCheckpoint for loggers that upload checkpoints.

    Args:
        monitor: metric that decides what is best.
        mode: "min" or "max".
        keep: what stays when the run is done. "best": best.ckpt, and last.ckpt where that is what
            was tested; "all": every epoch's too, as `epoch=N.ckpt`; "none": nothing.
        write: write checkpoints; False only decides what is best.
    """

    def __init__(self, monitor: str, mode: str, keep: str = "best", write: bool = True) -> None:
        if keep not in ("none", "best", "all"):
            raise ValueError(f"callbacks.checkpoint.keep={keep}: use none, best or all")
        super().__init__(monitor=monitor, mode=mode, filename="best", save_top_k=1, save_last=False)
        self.keep = keep
        self.write = write
        self.record = Record(monitor, mode)
        self._improved = False  # and the best weights are still to be saved

    @property
    def state_key(self) -> str:
        """Key of the state of this callback in a checkpoint."""
        return type(self).__qualname__

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir).resolve() / "checkpoints")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resume at the start of the next epoch if the saved one was complete.

        With `max_steps`, Lightning resumes as if the epoch was interrupted: it skips
        `on_train_epoch_start`, and runs the end of the saved epoch a second time.
        """
        loop = trainer.fit_loop
        progress: Any = loop.epoch_progress
        if loop.restarting and progress.current.processed == progress.current.ready:
            for counts in (progress.current, progress.total):
                counts.completed = counts.processed
            loop.reset_restart_stage()
            loop.epoch_loop.reset_restart_stage()
            loop.epoch_loop.restarting = False
            loop._restarting = False  # the public setter makes it True whenever there is max_steps

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the weights within an epoch if these values make them the best."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._note("val", trainer)
            if self._improved and not trainer.is_last_batch:  # at the end of an epoch, see below
                self._save_best(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Call every `EpochCallback`, and save the epoch."""
        self._note("train", trainer)
        step_plateaus(trainer, self.record)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EpochCallback):
                callback.on_epoch_measured(trainer, pl_module, self.record)
        if self._improved:
            self._save_best(trainer)
        if not self.write:
            return
        last = self._path("last")
        self.last_model_path = str(last)
        self._save_checkpoint(trainer, self.last_model_path)
        if self.keep == "all" and trainer.is_global_zero:
            every = self._path(f"epoch={trainer.current_epoch + 1}")
            every.unlink(missing_ok=True)
            every.hardlink_to(last)  # shares the disk until the next epoch replaces last.ckpt

    def _note(self, split: str, trainer: Trainer) -> None:
        improved = self.record.note(split, trainer)
        self._improved |= trainer.strategy.reduce_boolean_decision(improved)

    def _save_best(self, trainer: Trainer) -> None:
        self._improved = False
        if self.write:
            assert self.record.best is not None
            self.best_model_path = str(self._path("best"))
            self.best_model_score = self.current_score = torch.tensor(self.record.best["value"])
            self.best_k_models = {self.best_model_path: self.best_model_score}
            self._save_checkpoint(trainer, self.best_model_path)

    def _path(self, name: str) -> Path:
        assert self.dirpath is not None
        return Path(self.dirpath) / f"{name}.ckpt"

    def settle(self, tested: str | None) -> None:
        """Delete what `keep` does not name, once "last", "best" or (None) neither was tested."""
        if not self.write:
            return
        if self.keep == "none":
            shutil.rmtree(self._path("last").parent)
        elif self.keep == "best" and tested == "best":
            self._path("last").unlink(missing_ok=True)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["stopped"] = bool(trainer.should_stop)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """End the training again if it had ended before the test."""
        if trainer.state.fn == TrainerFn.FITTING:
            trainer.should_stop = checkpoint.get("stopped", False)

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured, without the path of the run, which may move."""
        return self.record.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.record.load_state_dict(state_dict)
        if self.record.best is not None:
            self.best_model_path = str(self._path("best"))
            self.best_model_score = torch.tensor(self.record.best["value"])
