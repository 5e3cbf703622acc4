"""Train a network: compose, build, fit, test, record.

    python -m resnet_lab.train data=cifar10 model=resnet20        one run
    python -m resnet_lab.train -m optimizer.lr=0.1,0.05 seed=0,1  a sweep
    python -m resnet_lab.train --resume logs/runs/<run>           go on with an interrupted run

Torch and Lightning are imported where they are first needed, so that `--help` and `--cfg job`
answer at once.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from resnet_lab.active_run import ActiveRun
from resnet_lab.config import CONF, build, monitor_mode, register_resolvers
from resnet_lab.console import errors_in_one_line, quiet_lightning, set_up_logging
from resnet_lab.metric_checks import check_callback, check_measured
from resnet_lab.pool import PARENT, outlive_not
from resnet_lab.run import TRIAL, Run
from resnet_lab.startup import collect, collection_put_off, keep_memory, spare
from resnet_lab.summary import show_summary
from resnet_lab.sweep import announce

if TYPE_CHECKING:
    from lightning import Callback, Trainer

register_resolvers()


def train(cfg: DictConfig, directory: str | Path, overrides: Sequence[str] = ()) -> float | None:
    """Train in a run directory, or go on with the run that is there, or return it if it is done.

    Args:
        cfg: a composed configuration.
        directory: the run directory.
        overrides: what the user typed, for the records.

    Returns:
        The best value of `cfg.monitor` over all epochs.

    Raises:
        ValueError: something in the configuration, the data or the directory is not as it must be.
    """
    try:
        with ActiveRun.open(directory, cfg, overrides) as run:
            if not run.done:
                fit_and_test(run)
            show_summary(run)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    best: float | None = run.status.get("best", {}).get("value")
    return best


def fit_and_test(run: ActiveRun, *watchers: "Callback") -> None:
    """Train, from the run's last checkpoint if there is one; test what `cfg.test` says, once."""
    from lightning import seed_everything
    from lightning.pytorch.callbacks import ProgressBar

    from resnet_lab.callbacks.checkpoint import AtomicCheckpointIO, Checkpoint
    from resnet_lab.callbacks.hooks import leave_out_empty_hooks
    from resnet_lab.callbacks.interruption import Interruption
    from resnet_lab.callbacks.status import Status
    from resnet_lab.device import check_accelerator, describe
    from resnet_lab.distributed import further_processes
    from resnet_lab.weights import begin_with

    spare()
    quiet_lightning()
    cfg = run.config
    check_accelerator(cfg.trainer.accelerator, cfg.trainer.devices)
    run.update(device=describe(cfg.trainer.accelerator), precision=cfg.trainer.precision)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data = run.build_data()
    data.prepare_data()
    data.setup("fit")
    task = run.build_task()
    check_measured(cfg, task, data)
    last = run.checkpoint("last") if run.has_checkpoint("last") else None
    if last is None and cfg.model.get("weights"):
        begin_with(task.net, str(cfg.model.weights), cfg.model.replace_classifier)
    callbacks = []
    for name in cfg.callbacks or ():
        callbacks.append(build(cfg, f"callbacks.{name}"))
        check_callback(name, callbacks[-1])
    if not any(isinstance(callback, Checkpoint) for callback in callbacks):
        callbacks.append(Checkpoint(cfg.monitor, monitor_mode(cfg), write=False))
    loggers = [build(cfg, f"logger.{name}", save_dir=run.directory) for name in cfg.logger or ()]
    pruning = None
    if (run.directory / TRIAL).exists():  # it is of a search
        from resnet_lab.callbacks.pruning import Pruning

        pruning = Pruning(run)
        callbacks.insert(0, pruning)
    trainer: Trainer = build(
        cfg,
        "trainer",
        callbacks=[Interruption(), Status(run), *watchers, *filter(None, callbacks)],
        logger=list(filter(None, loggers)),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=run.directory,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        limit_val_batches=cfg.trainer.limit_val_batches if data.size("val") else 0,
    )
    leave_out_empty_hooks(trainer.callbacks)  # type: ignore[attr-defined]
    collect()
    with further_processes(run.directory):
        trainer.fit(task, datamodule=data, ckpt_path=last, weights_only=True)
        if pruning is not None and pruning.pruned:
            run.update(state="pruned")
            return
        if cfg.test:
            best = run.checkpoint("best") if cfg.test == "best" else None  # None: as trained
            trainer.test(task, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)
    run.finish(task.test_sums if cfg.test else None, trainer.callback_metrics)
    for callback in callbacks:
        if run.leads and isinstance(callback, Checkpoint):
            callback.settle(cfg.test)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(cfg: DictConfig) -> float | None:
    """Run one job of Hydra's."""
    context = HydraConfig.get()
    sweeping = context.mode == RunMode.MULTIRUN
    with errors_in_one_line(end=not sweeping):  # in a sweep, the others run
        key, other = ("run_dir", "sweep_dir") if sweeping else ("sweep_dir", "run_dir")
        if cfg[key] is not None:
            kind = "a sweep" if sweeping else "one run"
            raise ValueError(f"{key}={cfg[key]} is not for {kind}: name its directory by {other}")
        directory = Path(context.runtime.output_dir)
        if cfg.preflight:
            from resnet_lab.preflight import preflight

            directory.rmdir()  # Hydra made it, and nothing is to start
            preflight(cfg)
            return None
        if sweeping:
            announce(directory)
        return train(cfg, directory, list(context.overrides.task))


def main() -> None:
    """Run the command line."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra leaves its exceptions to us; see `console`
    set_up_logging()
    keep_memory()
    with collection_put_off(), errors_in_one_line():
        if sys.argv[1:2] == ["--resume"] and len(sys.argv) == 3:
            if parent := os.environ.pop(PARENT, None):
                outlive_not(parent)
            earlier = Run.load(sys.argv[2])
            train(earlier.config, earlier.directory)
        else:
            job()


if __name__ == "__main__":
    main()
