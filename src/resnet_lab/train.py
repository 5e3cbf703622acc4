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

from resnet_lab.core.command_line import resumed, tidied
from resnet_lab.core.config import CONF, made_here, register_resolvers
from resnet_lab.core.console import errors_in_one_line, quiet_lightning, set_up_logging
from resnet_lab.core.harmless import harmless
from resnet_lab.core.overhead import freeze_gc, reduced_overhead
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.resuming import find_start, follow_data
from resnet_lab.runs.run import TRIAL, Run
from resnet_lab.runs.summary import show_summary
from resnet_lab.sweeps.pool import PARENT, outlive_not
from resnet_lab.sweeps.sweep import announce

if TYPE_CHECKING:
    from lightning import Callback

register_resolvers()


def train(
    cfg: DictConfig,
    directory: str | Path,
    overrides: Sequence[str] = (),
    *,
    trust: bool = False,
) -> float | None:
    """Train in a run directory, or go on with the run that is there, or return it if it is done.

    Args:
        cfg: a composed configuration.
        directory: the run directory.
        overrides: what the user typed, for the records.
        trust: whether the configuration may name classes of any package; see
            `resnet_lab.core.trust`.

    Returns:
        The best value of `cfg.monitor` over all epochs.

    Raises:
        ValueError: something in the configuration, the data or the directory is not as it must be.
    """
    try:
        with ActiveRun.open(directory, cfg, overrides, trust=trust) as run:
            if not run.done:
                fit_and_test(run)
            with harmless("the summary of the run"):
                show_summary(run)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    best: float | None = run.status.get("best", {}).get("value")
    return best


def fit_and_test(run: ActiveRun, *watchers: "Callback") -> None:
    """Train, from the run's last checkpoint if there is one; test what `cfg.test` says, once."""
    from lightning import seed_everything

    from resnet_lab.callbacks.checkpoint import Checkpoint
    from resnet_lab.callbacks.interruption import Interruption
    from resnet_lab.core.device import check_accelerator, describe
    from resnet_lab.core.processes import check_share, further_processes, wait_for_threads
    from resnet_lab.core.threads import use
    from resnet_lab.runs.metric_checks import check_measured
    from resnet_lab.runs.services import Hyperparameters, build_loggers, closing
    from resnet_lab.runs.status import Status
    from resnet_lab.runs.trainer import build_callbacks, build_trainer
    from resnet_lab.training.compiling import compile_mode
    from resnet_lab.training.pretrained import load_pretrained
    from resnet_lab.training.thread_choice import for_training

    freeze_gc()
    quiet_lightning()
    cfg = run.config
    check_accelerator(cfg.trainer.accelerator, cfg.trainer.devices)
    callbacks = build_callbacks(run)
    seed_everything(cfg.seed, workers=True, verbose=False)
    compile_mode(cfg.task.compile, cfg.trainer.accumulate_grad_batches)
    data = run.build_data()
    data.prepare_data()
    data.setup("fit")
    task = run.build_task()
    check_measured(cfg, task, data)
    start = find_start(run)
    if start.checkpoint is None:
        run.rewind({})
    if start.checkpoint is None and cfg.model.get("weights"):
        load_pretrained(task.net, str(cfg.model.weights), cfg.model.replace_classifier)
    if not run.leads:
        run.status["threads"] = wait_for_threads(run.directory)
    threads = for_training(cfg, task.net, data, run.status.get("threads"))
    use(threads)
    run.update(
        threads=threads,
        device=describe(cfg.trainer.accelerator),
        precision=cfg.trainer.precision,
    )
    pruning = None
    if (run.directory / TRIAL).exists():  # it is of a search
        from resnet_lab.sweeps.pruning import Pruning

        pruning = Pruning(run)
        callbacks.insert(0, pruning)
    loggers = build_loggers(run)
    trainer = build_trainer(
        run,
        [Interruption(), Status(run), Hyperparameters(run), *watchers, *callbacks],
        loggers,
        validates=data.size("val") > 0,
    )
    check_share(data.batch_size, trainer.num_devices * trainer.num_nodes)
    if run.leads:  # what was logged after the checkpoint is about to be logged again
        for logger in trainer.loggers:
            if hasattr(logger, "rewind"):
                logger.rewind(start.step)
    # Lightning does so after it has loaded a checkpoint, which would round weights of float64.
    trainer.precision_plugin.convert_module(task)
    with further_processes(run.directory, threads, trust=run.trust), closing(loggers):
        trainer.fit(task, datamodule=data, ckpt_path=start.checkpoint, weights_only=True)
        run.begin()
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
        directory = Path(context.runtime.output_dir)
        key, other = ("run_dir", "sweep_dir") if sweeping else ("sweep_dir", "run_dir")
        if (cfg[key] is not None or cfg.preflight) and made_here(directory):
            directory.rmdir()  # nothing is to start there
        if cfg[key] is not None:
            kind = "a sweep" if sweeping else "one run"
            raise ValueError(f"{key}={cfg[key]} is not for {kind}: name its directory by {other}")
        if cfg.preflight:
            from resnet_lab.sweeps.preflight import preflight

            preflight(cfg)
            return None
        if sweeping:
            announce(directory)
        with reduced_overhead(cfg.lean):
            return train(cfg, directory, list(context.overrides.task), trust=True)


def main() -> None:
    """Run the command line."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra leaves its exceptions to us; see `console`
    set_up_logging()
    with errors_in_one_line():
        if (given := resumed(sys.argv[1:])) is not None:
            if parent := os.environ.pop(PARENT, None):
                outlive_not(parent)
            directory, trust = given
            earlier = Run.load(directory, trust=trust)
            follow_data(earlier)
            with reduced_overhead(earlier.config.get("lean", True)):
                train(earlier.config, earlier.directory, trust=trust)
        else:
            sys.argv[1:] = tidied(sys.argv[1:])
            job()


if __name__ == "__main__":
    main()
