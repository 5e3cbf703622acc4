"""Whether a metric is better when lower ("min") or higher ("max"), and which one a test is told by.

Ours are listed here; those of the group `metrics` say it themselves, by torchmetrics'
`higher_is_better` or by `mode`.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

# Whatever the split.
DIRECTIONS = {
    "loss": "min", "acc": "max", "acc_top5": "max", "f1": "max", "mae": "min", "rmse": "min",
    "r2": "max",
}  # fmt: skip

# Those that lie between 0 and 1; so do all whose name begins with acc.
SHARES = ("f1", "precision", "recall", "auroc", "ece", "map")

OF_THE_ENTRY = ("mode", "splits")  # keys of an entry of `metrics` that are not of its metric


def mode_of(monitor: str, given: str | None = None, own: str | None = None) -> str:
    """Return whether a metric, such as val/loss, is better when lower ("min") or higher ("max").

    `given` is what `monitor_mode` says, `own` the direction of its entry in `metrics`. Raises a
    ValueError if none is known, or the given one is wrong.
    """
    if given not in (None, "min", "max"):
        raise ValueError(f"monitor_mode={given}: use min, max or null")
    known = own or DIRECTIONS.get(str(monitor).split("/")[-1])
    if known is None and given is None:
        raise ValueError(
            f"monitor={monitor}: not one of our metrics ({', '.join(DIRECTIONS)}); if the task has "
            "it, say whether it is better when lower or higher: monitor_mode=min or "
            "monitor_mode=max"
        )
    if None not in (known, given) and known != given:
        better = "lower" if known == "min" else "higher"
        raise ValueError(
            f"monitor_mode={given}: {monitor} is better when {better}; leave monitor_mode out"
        )
    return known or str(given)


def monitor_mode(config: DictConfig, *, trust: bool = False) -> str:
    """Return the direction of the metric that a configuration monitors; see `mode_of`."""
    monitor = str(config.monitor)
    return mode_of(monitor, config.get("monitor_mode"), entry_mode(config, monitor, trust=trust))


def entry_mode(config: DictConfig, metric: str, *, trust: bool = False) -> str | None:
    """Return the direction of a metric of the group `metrics`; None: it is not of that group.

    Metrics are named val/f1, or val/recall/cat for one class. Raises a ValueError if neither
    torchmetrics nor the entry says it.
    """
    name = metric.partition("/")[2].partition("/")[0]
    node = (config.get("metrics") or {}).get(name)
    if not node:
        return None
    if node.get("mode") not in (None, "min", "max"):
        raise ValueError(f"metrics.{name}.mode={node.mode}: use min or max")
    if node.get("mode"):
        return str(node.mode)
    # Building imports torchmetrics, which few runs need here.
    from resnet_lab.core.configuration.building import build

    built = build(config, f"metrics.{name}", trust=trust, without=OF_THE_ENTRY)
    higher = getattr(built, "higher_is_better", None)
    if not isinstance(higher, bool):
        raise ValueError(
            f"metrics.{name}: torchmetrics does not say whether it is better when lower or higher: "
            f"set +metrics.{name}.mode=min or max"
        )
    return "max" if higher else "min"


def headline(test: Mapping[str, Any], monitor: object = None) -> str:
    """Return the metric that the result of a test is told by.

    It is the kind that the run monitored, but for the loss; else the accuracy, where there is one.
    """
    kind = str(monitor).partition("/")[2]
    known = [kind] if kind != "loss" else []
    return next((name for name in (*known, "acc", "f1", "mae") if name in test), "loss")
