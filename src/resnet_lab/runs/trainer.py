"""The trainer of a run: what the configuration says, and what a run directory needs."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar, WeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.profilers import (
    AdvancedProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)
from omegaconf import OmegaConf

from resnet_lab.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
from resnet_lab.core.configuration.building import build
from resnet_lab.core.device import check_precision
from resnet_lab.core.directions import monitor_mode
from resnet_lab.core.harmless import harmless
from resnet_lab.core.processes import check_nodes, check_restarts
from resnet_lab.data import ImageDataModule
from resnet_lab.runs.checking.metric_checks import check_callback
from resnet_lab.runs.services import NEED_A_LOGGER
from resnet_lab.runs.trained.run import Run

log = logging.getLogger(__name__)

PROFILERS: dict[str, Callable[..., Profiler]] = {
    "simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler,
}  # fmt: skip


def build_callbacks(run: Run) -> list[Callback]:
    """Build the callbacks of the configuration; `callbacks.NAME=null` leaves one out.

    A callback that has the method `describe_run` is given the configuration and the status.
    Without `callbacks.checkpoint` there is one that writes nothing: it knows what is best.
    """
    callbacks: list[Callback] = []
    for name in run.config.get("callbacks") or ():
        callback = run.build(f"callbacks.{name}")
        if callback is not None:
            check_callback(name, callback)
            if hasattr(callback, "describe_run"):
                callback.describe_run(run.config, run.status)
            callbacks.append(callback)
    config = run.config.trainer
    averages = any(isinstance(callback, WeightAveraging) for callback in callbacks)
    check_precision(config.accelerator, config.precision, averages)
    if not any(isinstance(callback, Checkpoint) for callback in callbacks):
        mode = monitor_mode(run.config, trust=run.trust)
        callbacks.append(Checkpoint(run.config.monitor, mode, write=False))
    return callbacks


def build_trainer(
    run: Run, callbacks: Sequence[Callback], loggers: Sequence[Logger], *, validates: bool
) -> Trainer:
    """Build the trainer of a run, whose directory takes the checkpoints."""
    config = run.config.trainer
    if config.get("logger") not in (None, True, False):
        raise ValueError(
            "trainer.logger: add to the group logger, with +logger.NAME._target_=...; "
            "+trainer.logger=false leaves all out"
        )
    check_nodes(config.get("num_nodes"))
    check_restarts()
    if not loggers:
        callbacks = [part for part in callbacks if not isinstance(part, NEED_A_LOGGER)]
    given: dict[str, Any] = {}
    if isinstance(config.get("profiler"), str):
        given["profiler"] = _profiler(config.profiler, run.directory)
    trainer: Trainer = build(
        run.config,
        "trainer",
        trust=run.trust,
        without=("logger", "plugins", "limit_val_batches", "threads", *given),
        callbacks=list(callbacks),
        logger=list(loggers),
        plugins=[AtomicCheckpointIO(), *_plugins(run)],
        default_root_dir=run.directory,
        enable_progress_bar=any(isinstance(part, ProgressBar) for part in callbacks),
        limit_val_batches=config.get("limit_val_batches", 1.0) if validates else 0,
        **given,
    )
    return trainer


def _profiler(name: str, directory: Path) -> Profiler:
    """Build a profiler of Lightning that writes to `profile/` in a run directory.

    It is simple (seconds of each hook), advanced (of each function) or pytorch (of each operation,
    with traces for a browser).
    """
    if name not in PROFILERS:
        raise ValueError(f"trainer.profiler={name}: must be one of {', '.join(PROFILERS)}, or null")
    # All of the three recorded steps of training and of validation are to be in the table.
    more = {"acc_events": True} if name == "pytorch" else {}
    profiler = PROFILERS[name](directory / "profile", name, **more)
    describe = profiler.describe

    def describe_harmlessly() -> None:
        with harmless("trainer.profiler"):
            describe()

    profiler.describe = describe_harmlessly  # type: ignore[method-assign]
    return profiler


def allow_short_test(trainer: Trainer, data: ImageDataModule) -> None:
    """Have a share of the test batches that is less than one be one.

    Lightning refuses it, but only when the run is trained.
    """
    data.setup("test")
    batches, share = math.ceil(data.size("test") / data.batch_size), trainer.limit_test_batches
    if isinstance(share, float) and 0 < share * batches < 1:
        log.warning("trainer.limit_test_batches=%s of %d is less than a batch: one", share, batches)
        trainer.limit_test_batches = 1


def _plugins(run: Run) -> list[object]:
    """Build what the configuration adds to the trainer's plugins."""
    given = run.config.trainer.get("plugins") or []
    if OmegaConf.is_dict(given) or not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError("trainer.plugins: must be a list, [{_target_: ...}]")
    plugins = [run.build(f"trainer.plugins.{number}") for number in range(len(given))]
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        raise ValueError(
            "trainer.plugins: a CheckpointIO is set by resnet-lab itself, so that a kill leaves no "
            "half of a checkpoint: leave it out"
        )
    return plugins
