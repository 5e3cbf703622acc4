"""Keep the best and the last state of a run."""

import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor


class Checkpoint(ModelCheckpoint):
    """Write `checkpoints/best.ckpt` and `checkpoints/last.ckpt` of the run directory.

    Lightning's ModelCheckpoint, saving at the end of each epoch, in a directory that may move:
    upstream forgets the best score of a run whose directory was renamed.

    Args:
        monitor: metric that decides what is best.
        mode: "min" or "max".
    """

    def __init__(self, monitor: str, mode: str) -> None:
        super().__init__(
            monitor=monitor,
            mode=mode,
            filename="best",
            save_top_k=1,
            save_last=True,
            save_on_train_epoch_end=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Place the checkpoints in the run directory."""
        self.dirpath = str(Path(trainer.default_root_dir).resolve() / "checkpoints")
        with warnings.catch_warnings():  # a resumed run has checkpoints already: that is the point
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
            super().setup(trainer, pl_module, stage)

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
