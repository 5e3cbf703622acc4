"""The trainer of a run: what the configuration says, and what a run directory needs."""

from collections.abc import Sequence
from pathlib import Path

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO

from resnet_lab.building import build
from resnet_lab.callbacks.checkpoint import AtomicCheckpointIO
from resnet_lab.run import Run


def build_callbacks(run: Run) -> list[Callback]:
    """Build the callbacks of the configuration; `callbacks.NAME=null` leaves one out."""
    names = run.config.get("callbacks") or ()
    return [part for name in names if (part := run.build(f"callbacks.{name}")) is not None]


def build_loggers(run: Run, directory: Path) -> list[Logger]:
    """Build the loggers of the configuration, to write into a directory."""
    if run.config.trainer.get("logger") is False:
        return []
    names = run.config.get("logger") or ()
    parts = [run.build(f"logger.{name}", save_dir=directory) for name in names]
    return [part for part in parts if part is not None]


def build_trainer(
    run: Run, callbacks: Sequence[Callback], loggers: Sequence[Logger], *, validates: bool
) -> Trainer:
    """Build the trainer of a run.

    Args:
        run: whose directory takes the checkpoints.
        callbacks: of the configuration and of the run.
        loggers: likewise.
        validates: whether there is a validation split.

    Raises:
        ValueError: the configuration gives the trainer what it cannot take.
    """
    config = run.config.trainer
    if config.get("logger") not in (None, True, False):
        raise ValueError(
            "trainer.logger: add to the group logger, with +logger.NAME._target_=...; "
            "+trainer.logger=false leaves all out"
        )
    if not loggers:  # there is nothing that it could log to
        callbacks = [part for part in callbacks if not isinstance(part, LearningRateMonitor)]
    trainer: Trainer = build(
        run.config,
        "trainer",
        trust=run.trust,
        without=("logger", "plugins", "limit_val_batches"),
        callbacks=list(callbacks),
        logger=list(loggers),
        plugins=[AtomicCheckpointIO(), *_plugins(run)],
        default_root_dir=run.directory,
        enable_progress_bar=any(isinstance(part, ProgressBar) for part in callbacks),
        limit_val_batches=config.get("limit_val_batches", 1.0) if validates else 0,
    )
    return trainer


def _plugins(run: Run) -> list[object]:
    """Build what the configuration adds to the trainer's plugins."""
    given = run.config.trainer.get("plugins") or []
    if isinstance(given, str) or "_target_" in given:
        raise ValueError("trainer.plugins: must be a list, [{_target_: ...}]")
    plugins = [run.build(f"trainer.plugins.{number}") for number in range(len(given))]
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        raise ValueError(
            "trainer.plugins: a CheckpointIO is set by resnet-lab itself, so that a kill leaves no "
            "half of a checkpoint: leave it out"
        )
    return plugins
