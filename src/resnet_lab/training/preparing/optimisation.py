"""Build the optimizer and the scheduler, with the length of the run filled in."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from resnet_lab.core.configuration.building import errors_of

LENGTHS = ("total_steps", "T_max", "total_iters")  # what schedulers call the length of a run


def build_optimizer(
    factory: Callable[..., Optimizer], groups: Sequence[Mapping[str, Any]]
) -> Optimizer:
    """Build the optimizer of `parameter_groups`; `lr_scale` scales the learning rate of each."""
    with errors_of("optimizer"):
        optimizer = factory(groups)
    for group in optimizer.param_groups:
        group["lr"] *= group["lr_scale"]
    return optimizer


def scheduler_config(
    factory: Callable[..., Any],
    optimizer: Optimizer,
    total: int,
    interval: str,
    monitor: str | None,
    monitor_mode: str | None,
) -> dict[str, Any]:
    """Build the learning-rate scheduler of an optimizer, as Lightning's `lr_scheduler` dictionary.

    The factory is given whichever of `LENGTHS` it takes and does not have yet: `total`, the length
    of the run in steps of the scheduler. A ReduceLROnPlateau watches `monitor`.
    """
    given = factory.keywords if isinstance(factory, partial) else {}
    takes = inspect.signature(factory).parameters
    fill: dict[str, Any] = {name: total for name in LENGTHS if name in takes and name not in given}
    if isinstance(given.get("max_lr"), int | float):  # for all groups alike, unless it is a list
        fill["max_lr"] = [given["max_lr"] * g["lr_scale"] for g in optimizer.param_groups]
    if (factory.func if isinstance(factory, partial) else factory) is ReduceLROnPlateau:
        _check_plateau(given, interval, monitor, monitor_mode)
        fill["mode"] = monitor_mode
    with errors_of("scheduler"):
        scheduler = factory(optimizer, **fill)
    return {
        "scheduler": scheduler,
        "interval": interval,
        "monitor": monitor,
        "name": "lr",
        "reduce_on_plateau": False,  # Lightning's is late: see `callbacks.record.step_plateaus`
    }


def _check_plateau(
    given: Mapping[str, Any], interval: str, monitor: str | None, monitor_mode: str | None
) -> None:
    if interval != "epoch":
        raise ValueError(
            f"scheduler.interval={interval}: ReduceLROnPlateau looks at {monitor} once an epoch: "
            "use scheduler.interval=epoch"
        )
    if monitor_mode is None:
        raise ValueError("ReduceLROnPlateau needs a monitor and its direction, monitor_mode")
    if given.get("mode", monitor_mode) != monitor_mode:
        raise ValueError(
            f"scheduler.mode={given['mode']}, but the direction of monitor={monitor} is "
            f"{monitor_mode}: leave scheduler.mode out"
        )
