"""Fit and test: what happens between an open run directory and its last record."""

from lightning import Callback, seed_everything

from resnet_lab.callbacks.checkpoint import Checkpoint
from resnet_lab.callbacks.interruption import Interruption
from resnet_lab.callbacks.record import EpochCallback
from resnet_lab.core.console import quiet_lightning
from resnet_lab.core.device import check_accelerator, describe, limit_gpu_memory
from resnet_lab.core.overhead import freeze_gc
from resnet_lab.core.processes import check_share, further_processes, wait_for_threads
from resnet_lab.core.threads import use
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.checking.metric_checks import check_measured
from resnet_lab.runs.resuming import best_weights, find_start
from resnet_lab.runs.services import Hyperparameters, build_loggers, closing
from resnet_lab.runs.status import Status
from resnet_lab.runs.trainer import allow_short_test, build_callbacks, build_trainer
from resnet_lab.training.preparing.network_check import compile_mode
from resnet_lab.training.preparing.thread_choice import for_training
from resnet_lab.training.weights.pretrained import initialise_from_images, load_pretrained


def fit_and_test(run: ActiveRun, *watchers: Callback) -> None:
    """Train from the run's last checkpoint, or from the start; test what `cfg.test` says, once.

    The watchers are callbacks besides those of the configuration, called before them; see
    `EpochCallback.ended`.
    """
    freeze_gc()
    quiet_lightning()
    cfg = run.config
    check_accelerator(cfg.trainer.accelerator, cfg.trainer.devices)
    limit_gpu_memory()
    callbacks = build_callbacks(run)
    seed_everything(cfg.seed, workers=True, verbose=False)
    compile_mode(cfg.task.get("compile", False), cfg.trainer.accumulate_grad_batches)
    data = run.build_data()
    data.prepare_data()
    data.setup("fit")
    task = run.build_task()
    check_measured(cfg, task, data, trust=run.trust)
    start = find_start(run)
    if start.checkpoint is None:
        run.rewind({})
    if start.checkpoint is None and cfg.model.get("weights"):
        load_pretrained(task.net, str(cfg.model.weights), cfg.model.replace_classifier)
    elif start.checkpoint is None and hasattr(task.net, "initialise"):
        initialise_from_images(task.net, data)
    if not run.leads:
        run.status["threads"] = wait_for_threads(run.directory)
    threads = for_training(cfg, task.net, data, run.status.get("threads"))
    use(threads)
    run.update(
        threads=threads, device=describe(cfg.trainer.accelerator), precision=cfg.trainer.precision
    )
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
        ended = next((w.ended for w in watchers if isinstance(w, EpochCallback) and w.ended), None)
        if ended:
            run.update(state=ended)
            return
        if cfg.test:
            best = best_weights(run) if cfg.test == "best" else None  # None: as trained
            allow_short_test(trainer, data)
            trainer.test(task, datamodule=data, ckpt_path=best, weights_only=True, verbose=False)
    logged = trainer.callback_metrics if cfg.test else None
    run.finish(getattr(task, "test_sums", None), logged)
    for callback in callbacks:
        if run.leads and isinstance(callback, Checkpoint):
            callback.settle(cfg.test)
