"""Loggers that are not ours, such as W&B's and MLflow's: names, hyperparameters, and their end."""

import contextlib
import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import DeviceStatsMonitor, LearningRateMonitor
from lightning.pytorch.loggers import Logger
from omegaconf import OmegaConf

from resnet_lab.core.configuration.config import flat
from resnet_lab.core.configuration.trust import locate
from resnet_lab.runs import loggers as ours
from resnet_lab.runs.trained.run import Run

log = logging.getLogger(__name__)

NEED_A_LOGGER = (LearningRateMonitor, DeviceStatsMonitor)


def build_loggers(run: Run) -> list[Logger]:
    """Build the loggers of a run; those that take a name and were given none get the run's."""
    made: list[Logger] = []
    if run.config.trainer.get("logger") is False or run.config.trainer.get("fast_dev_run"):
        return made
    for name, node in (run.config.get("logger") or {}).items():
        if node is not None:
            key = f"logger.{name}"
            more: dict[str, Any] = _names(run, key, node)
            made.append(run.build(key, save_dir=run.directory, **more))
    return made


def _names(run: Run, key: str, node: Any) -> dict[str, str]:
    """Return what a logger that takes it is called by, instead of `lightning_logs`."""
    if not OmegaConf.is_dict(node) or "_target_" not in node:
        return {}  # refused where it is built
    target = locate(key, node, trust=run.trust)
    known = {
        "name": run.directory.name,
        "run_name": run.directory.name,
        "experiment_name": str(run.config.name),
    }
    if target.__name__ == "WandbLogger" and "WANDB_PROJECT" not in os.environ:
        known["project"] = str(run.config.name)
    parameters = inspect.signature(target).parameters
    return {name: text for name, text in known.items() if name in parameters and name not in node}


class Hyperparameters(Callback):
    """Tell the loggers that are not ours the configuration, and what of it was overridden.

    Args:
        run: that is trained.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell it, also to the new run of a service that a resumed run begins there."""
        for logger in _foreign(trainer.loggers):
            overrides = " ".join(self.run.status.get("overrides", []))
            params = {"overrides": overrides, **flat(self.run.config)}
            try:
                logger.log_hyperparams(params)
            except Exception as error:  # of a service; the run goes on
                log.warning("%s took no hyperparameters: %s", type(logger).__name__, error)


@contextlib.contextmanager
def closing(loggers: Sequence[Logger]) -> Iterator[None]:
    """End what was logged when the run ends: W&B would go on with it in the sweep's next job."""
    code = 1
    try:
        yield
        code = 0
    finally:
        for logger in _foreign(loggers):
            finish = getattr(getattr(logger, "experiment", None), "finish", None)
            if callable(finish):
                try:
                    finish(exit_code=code)
                except Exception as error:  # of a service; the run has ended
                    log.warning("%s did not end: %s", type(logger).__name__, error)


def _foreign(loggers: Sequence[Logger]) -> list[Logger]:
    mine = (ours.TensorBoardLogger, ours.CSVLogger)  # they have a config.yaml beside them
    return [logger for logger in loggers if not isinstance(logger, mine)]
