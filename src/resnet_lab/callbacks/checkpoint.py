"""Keep the best and the last state of a run, whatever moment it ends at."""

import io
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place and rename it: a reader finds the old one or the new one.

    Lightning's own writes to the system's temporary directory and moves the file from there, which
    across file systems is a copy: a kill or a full disk leaves half a `last.ckpt`.
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
    """Write `checkpoints/best.ckpt` and, after every epoch, `checkpoints/last.ckpt` of the run.

    Lightning's ModelCheckpoint, with two differences: the directory may move, where upstream
    forgets the best score of a run whose directory was renamed; and the last epoch is always there
    to go on from, where upstream's `save_last` renews it only with the best.

    Args:
        monitor: metric that decides what is best.
        mode: "min" or "max".
        keep: what stays when the run is done. "best": best.ckpt, and last.ckpt where that is what
            was tested; "all": every epoch's too, as `epoch=N.ckpt`; "none": nothing.
    """

    def __init__(self, monitor: str, mode: str, keep: str = "best") -> None:
        if keep not in ("none", "best", "all"):
            raise ValueError(f"callbacks.checkpoint.keep={keep}: use none, best or all")
        super().__init__(
            monitor=monitor,
            mode=mode,
            filename="best",
            save_top_k=1,
            save_last=False,
            save_on_train_epoch_end=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.keep = keep

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Place the checkpoints in the run directory."""
        self.dirpath = str(Path(trainer.default_root_dir).resolve() / "checkpoints")
        with warnings.catch_warnings():  # a resumed run has checkpoints already: that is the point
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
            super().setup(trainer, pl_module, stage)

    on_train_batch_end = Callback.on_train_batch_end  # upstream's looks whether to save: never

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best epoch, if this is it, and the last one."""
        super().on_train_epoch_end(trainer, pl_module)
        assert self.dirpath is not None
        last = Path(self.dirpath) / "last.ckpt"
        trainer.save_checkpoint(last)
        if self.keep == "all" and trainer.is_global_zero:
            every = last.with_name(f"epoch={trainer.current_epoch}.ckpt")
            every.unlink(missing_ok=True)
            every.hardlink_to(last)  # shares the disk until the next epoch replaces last.ckpt

    def settle(self, tested: str | None) -> None:
        """Delete what nobody needs once the run is done.

        Args:
            tested: the checkpoint that was tested, "last" or "best"; None: there was no test.
        """
        assert self.dirpath is not None
        if self.keep == "none":
            shutil.rmtree(self.dirpath)
        elif self.keep == "best" and tested == "best":
            (Path(self.dirpath) / "last.ckpt").unlink(missing_ok=True)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Take the later of two equal epochs: its learning rate was lower."""
        tie = self.best_model_score is not None and current == self.best_model_score
        return bool(tie) or super().check_monitor_top_k(trainer, current)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore scores, with every path brought to where the run directory lies now."""
        assert self.dirpath is not None

        def here(path: str) -> str:
            return str(Path(self.dirpath or "") / Path(path).name) if path else path

        state = dict(state_dict, dirpath=self.dirpath)
        for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[key] = here(state.get(key, ""))
        state["best_k_models"] = {
            here(path): score for path, score in state.get("best_k_models", {}).items()
        }
        super().load_state_dict(state)
