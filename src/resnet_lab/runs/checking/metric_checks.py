"""What a run must be able to measure, and what an experiment expects of it."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.directions import DIRECTIONS, entry_mode, mode_of, monitor_mode
from resnet_lab.core.errors import closest

if TYPE_CHECKING:
    from lightning import Callback

    from resnet_lab.data import ImageDataModule
    from resnet_lab.training.image_task import ImageTask


def check_measured(
    config: DictConfig, task: "ImageTask", data: "ImageDataModule", *, trust: bool = False
) -> None:
    """Hold the network, `monitor` and `expected` to the data and the length of the run.

    Raises a ValueError if the run would not have what it is to be judged by, or the network does
    not go with the data.
    """
    validates = data.size("val") > 0 and config.trainer.get("limit_val_batches", 1.0) != 0
    _check_steps(config, task)
    if hasattr(task, "check"):
        labels = None
        if hasattr(data, "images"):
            images, indices = data.images("train")
            labels = images.labels[indices]
        task.check(data.facts(), labels)
    splits = ("val", "train") if validates else ("train",)
    names = [name for split in splits for name in task.metric_names(split)]
    if config.monitor not in names:
        raise ValueError(
            f"monitor={config.monitor}: no metric has that name; use {', '.join(names)}"
        )
    mode = monitor_mode(config, trust=trust)
    for key, value in (("monitor", config.monitor), ("mode", mode)):
        own = OmegaConf.select(config, f"callbacks.checkpoint.{key}")
        if own not in (None, value):
            top = "monitor" if key == "monitor" else "monitor_mode"
            raise ValueError(
                f"callbacks.checkpoint.{key}={own}, but the run is judged by {value}: "
                f"set {top}, which everything else follows"
            )
    _check_watched(config, names)
    metric = getattr(task, str(config.monitor).replace("/", "_"), None)  # val_ece of torchmetrics
    higher = getattr(metric, "higher_is_better", None)
    if higher not in (None, mode == "max"):
        raise ValueError(
            f"monitor_mode={mode}: {type(metric).__name__}, which is {config.monitor}, is better "
            f"when {'higher' if higher else 'lower'}"
        )
    batches = data.size("train") // data.batch_size
    limit = config.trainer.get("limit_train_batches", 1.0)
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if str(config.monitor).startswith("val/"):
        _check_validated(config, batches)
    split = str(config.monitor).partition("/")[0]  # the best weights have no other's metrics
    tested = task.metric_names("test") if config.test else []
    check_expected(config, [*tested, *task.metric_names(split)], trust=trust)


def _check_steps(config: DictConfig, task: "ImageTask") -> None:
    """Refuse a module that lacks a step which the run takes."""
    from lightning.pytorch.utilities.model_helpers import is_overridden

    validates = str(config.monitor).startswith("val/")
    for method, needed, way_out in (
        ("training_step", True, "it is what a run does"),
        ("configure_optimizers", True, "it is what a run learns with"),
        ("validation_step", validates, f"monitor={config.monitor} needs it"),
        ("test_step", config.test, "write one, or set test=null"),
    ):
        if needed and not is_overridden(method, task):
            raise ValueError(f"task: {type(task).__name__} has no {method}; {way_out}")


def _check_watched(config: DictConfig, names: list[str]) -> None:
    """Refuse a callback that watches a metric that is never measured, before an epoch is spent."""
    for name, node in (config.get("callbacks") or {}).items():
        watched = node.get("monitor") if OmegaConf.is_dict(node) and node else None
        step = str(watched).startswith("train/") and str(watched).endswith("_step")
        if watched is not None and watched not in names and not step and node.get("strict", True):
            raise ValueError(
                f"callbacks.{name}.monitor={watched}: no metric has that name; "
                f"{closest(str(watched), names)}"
            )


def check_callback(name: str, callback: "Callback") -> None:
    """Refuse a callback that a resumed run could not take up as an undisturbed one would."""
    from lightning.pytorch.callbacks import GradientAccumulationScheduler

    if isinstance(callback, GradientAccumulationScheduler):
        raise ValueError(
            f"callbacks.{name}: a GradientAccumulationScheduler is not supported: the length of "
            "the schedule and a resume need one trainer.accumulate_grad_batches for the whole run"
        )


def _check_validated(config: DictConfig, batches: int) -> None:
    """Refuse a run that ends before its first validation."""
    trainer = config.trainer
    every: int | None = trainer.get("check_val_every_n_epoch", 1)
    interval: Any = trainer.get("val_check_interval")
    interval = 1.0 if interval is None else interval
    if trainer.get("fast_dev_run") or not isinstance(interval, int | float) or not batches:
        return
    within = interval if isinstance(interval, int) else max(1, int(batches * interval))
    first = within if every is None else (every - 1) * batches + within
    total = math.inf
    if trainer.max_epochs not in (None, -1):
        total = trainer.max_epochs * batches
    steps = trainer.get("max_steps", -1)
    if steps not in (None, -1):
        a_step = trainer.accumulate_grad_batches
        epochs, rest = divmod(steps, math.ceil(batches / a_step))
        total = min(total, epochs * batches + min(rest * a_step, batches))
    if first > total:
        raise ValueError(
            f"monitor={config.monitor} is never measured: the first validation comes after "
            f"{first:,} batches, and the run ends after {total:,}; train for longer "
            "(trainer.max_epochs, trainer.max_steps), validate earlier "
            "(trainer.val_check_interval, trainer.check_val_every_n_epoch), or use "
            "monitor=train/loss"
        )


def check_expected(config: DictConfig, names: Sequence[str], *, trust: bool = False) -> None:
    """Refuse, before training, an expectation that the run could not be held to.

    It is `expected: {metric, value, tolerance, source}` of an experiment. `names` are those of the
    metrics that the run will have: of the test, and of the weights that are best. Raises a
    ValueError if the one that is expected is not among them, or its direction is not known.
    """
    expected = config.get("expected")
    if not expected:
        return
    metric = str(expected.get("metric"))
    if metric not in names:
        without = metric.startswith("test/") and not config.test
        way = "test=null leaves the test out" if without else closest(metric, list(names))
        raise ValueError(f"expected.metric={metric}: the run will not have that metric; {way}")
    _mode(config, trust)


def verdict(
    config: DictConfig, status: Mapping[str, Any], *, trust: bool = False
) -> dict[str, Any]:
    """Hold a finished run to what is expected: at least as good as the value, to the tolerance."""
    expected = config.expected
    split, _, name = expected.metric.partition("/")
    if split == "test":
        measured = status["test"][name]
    else:
        measured = status["best"]["metrics"][expected.metric]
    lower = _mode(config, trust) == "min"
    short = measured - expected.value if lower else expected.value - measured
    plain = OmegaConf.to_container(expected)
    assert isinstance(plain, dict)
    return {**plain, "measured": measured, "passed": bool(short <= expected.tolerance)}


def _mode(config: DictConfig, trust: bool) -> str:
    """Return the direction of the metric: known, that of `monitor`, or `expected.mode`."""
    metric, given = str(config.expected.metric), config.expected.get("mode")
    kind, own = metric.split("/")[-1], entry_mode(config, metric, trust=trust)
    if given is None and kind == str(config.monitor).split("/")[-1]:
        given = config.get("monitor_mode")
    if given is None and own is None and kind not in DIRECTIONS:
        raise ValueError(
            f"expected.metric={metric}: say whether it is better when lower or higher: "
            "expected.mode=min or expected.mode=max"
        )
    return mode_of(metric, given, own)
