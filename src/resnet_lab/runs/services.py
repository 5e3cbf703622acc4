"""Loggers that are not ours, such as W&B's and MLflow's: names, hyperparameters, and their end."""

import contextlib
import inspect
import os
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import DeviceStatsMonitor, LearningRateMonitor
from lightning.pytorch.loggers import Logger
from omegaconf import OmegaConf

from resnet_lab.core.configuration.config import flat
from resnet_lab.core.configuration.trust import locate
from resnet_lab.core.harmless import harmless
from resnet_lab.runs import loggers as ours
from resnet_lab.runs.trained.run import Run

NEED_A_LOGGER = (LearningRateMonitor, DeviceStatsMonitor)


def build_loggers(run: Run) -> list[Logger]:
    """Build the loggers of a run; those that take a name and were given none get the run's."""
    made: list[Logger] = []
    if run.config.trainer.get("logger") is False or run.config.trainer.get("fast_dev_run"):
        return made
    for name, node in (run.config.get("logger") or {}).items():
        if node is not None:
            key = f"logger.{name}"
            made.append(run.build(key, save_dir=run.directory, **_names(run, key, node)))
    return made


def _names(run: Run, key: str, node: Any) -> dict[str, Any]:
    """Return what a logger that takes it is called by, instead of `lightning_logs`."""
    if not OmegaConf.is_dict(node) or "_target_" not in node:
        return {}  # refused where it is built
    target = locate(key, node, trust=run.trust)
    directory = run.directory.name
    known = {"name": directory, "run_name": directory, "experiment_name": str(run.config.name)}
    if target.__name__ == "WandbLogger" and "WANDB_PROJECT" not in os.environ:
        known["project"] = str(run.config.name)
    parameters = inspect.signature(target).parameters
    return {name: text for name, text in known.items() if name in parameters and name not in node}


class Hyperparameters(Callback):
    """Tell the loggers that are not ours the configuration, and what of it was overridden."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell it, also to the new run of a service that a resumed run begins there."""
        overrides = " ".join(self.run.status.get("overrides", []))
        for logger in _foreign(trainer.loggers):
            with harmless(f"hyperparameters of {type(logger).__name__}"):  # a service may be away
                logger.log_hyperparams({"overrides": overrides, **flat(self.run.config)})


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
                with harmless(f"the end of {type(logger).__name__}"):
                    finish(exit_code=code)


def _foreign(loggers: Sequence[Logger]) -> list[Logger]:
    mine = (ours.TensorBoardLogger, ours.CSVLogger)  # they have a config.yaml beside them
    return [logger for logger in loggers if not isinstance(logger, mine)]
