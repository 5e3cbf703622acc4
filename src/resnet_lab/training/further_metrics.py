"""Metrics of the group `metrics`, any of torchmetrics, beside the sums that a task keeps itself."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

SPLITS = ("train", "val", "test")


class FurtherMetrics(nn.Module):
    """Collections of metrics by split; those that share their sums are updated once.

    Args:
        metrics: by name; each is tried out on an example, so that what does not fit the task is
            known before it trains.
        splits: on which each is measured, by its name.
        example: predictions and targets as the task gives them.
        outputs: number of classes, labels or numbers.

    Raises:
        ValueError: a metric does not take the example, or gives neither a number nor one for each
            class.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric] = MappingProxyType({}),
        splits: Mapping[str, Sequence[str]] = MappingProxyType({}),
        example: tuple[Tensor, Tensor] | None = None,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.per_class: dict[str, bool] = {}  # whether a metric gives one number for each class
        self.collections = nn.ModuleDict()  # by `of_split`: a module has a method `train`
        for name, metric in metrics.items():
            if name in ("loss", "acc") or not set(splits[name]) <= set(SPLITS):
                wrong = f".splits={splits[name]}: use some of {', '.join(SPLITS)}"
                taken = ": the task measures it itself; give another name"
                raise ValueError(f"metrics.{name}{taken if name in ('loss', 'acc') else wrong}")
            assert example is not None
            shape = _tried(name, metric.clone(), example)
            if shape not in ((), (1,), (outputs,)):
                raise ValueError(
                    f"metrics.{name}: gives {shape} where a number, or one for each of the "
                    f"{outputs} classes, is needed"
                )
            self.per_class[name] = shape == (outputs,) != (1,)
        for split in SPLITS:
            chosen = {name: each.clone() for name, each in metrics.items() if split in splits[name]}
            if chosen:
                self.collections[f"of_{split}"] = MetricCollection(dict(chosen))

    def _collections(self, split: str) -> list[MetricCollection]:
        kept: Any = self.collections
        return [kept[f"of_{split}"]] if f"of_{split}" in kept else []

    def of(self, split: str) -> dict[str, Metric]:
        """Return the metrics of a split by name."""
        return {name: each for kept in self._collections(split) for name, each in kept.items()}

    def add(self, split: str, batch: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Add a batch of predictions and targets to the metrics of a split, where it has any."""
        for collection in self._collections(split):
            predictions, targets = batch()
            if len(targets):  # another process has the last images
                collection.update(predictions, targets)

    def reset(self, split: str) -> None:
        """Begin the sums of a split anew."""
        for collection in self._collections(split):
            collection.reset()

    def compute(self, split: str, classes: Sequence[str]) -> dict[str, Tensor]:
        """Return the values of a split; of a metric for each class as `name/class`."""
        values: dict[str, Tensor] = {}
        for collection in self._collections(split):
            for name, value in collection.compute().items():
                if self.per_class[name]:
                    each = zip(classes, value, strict=True)
                    values |= {f"{name}/{of}": part.float() for of, part in each}
                else:
                    values[name] = value.float().reshape(())
        return values

    def names(self, split: str, classes: Sequence[str]) -> list[str]:
        """Return the names of the values of a split."""
        return [
            full
            for name in self.of(split)
            for full in ([f"{name}/{of}" for of in classes] if self.per_class[name] else [name])
        ]

    def state(self, split: str) -> dict[str, Any]:
        """Return the sums of a split in the middle of an epoch, over all devices."""
        found = {}
        for name, metric in self.of(split).items():
            with metric.sync_context():
                found[name] = deepcopy(metric.metric_state)
        return found

    def restore(self, split: str, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore what `state` returned."""
        for name, sums in state.items():
            metric: Any = self.of(split)[name]
            for key, value in sums.items():
                parts = value if isinstance(value, list) else [value]
                moved = [part.to(device) for part in parts]
                kept = isinstance(metric._defaults[key], list)
                setattr(metric, key, moved if kept else moved[0])
            metric._update_count = 1  # or a compute() of them alone warns


def _tried(name: str, metric: Metric, example: tuple[Tensor, Tensor]) -> tuple[int, ...]:
    """Return the shape of what a metric gives."""
    predictions, targets = example
    try:
        with torch.device("cpu"):
            metric.update(predictions, targets)
            value = metric.compute()
    except Exception as error:  # of a metric that anybody may have written
        text = " ".join(str(error).split())
        raise ValueError(
            f"metrics.{name}: {type(metric).__name__} does not take predictions "
            f"{tuple(predictions.shape)} and targets {tuple(targets.shape)}: {text}"
        ) from error
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise ValueError(f"metrics.{name}: gives a {kind} where a tensor is needed")
    return tuple(value.shape)
