from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_lab.callbacks.record import Record
from resnet_lab.runs import status


@pytest.mark.parametrize(
    ("first", "completed", "images"), [(0, 10, 320), (0, 3, 96), (6, 10, 128), (6, 7, 32)]
)
def test_the_speed_counts_the_batches_that_were_trained(
    first: int, completed: int, images: int, monkeypatch
) -> None:
    """Of a whole epoch, one that a limit of steps cut, one that was resumed, and of both."""
    now = iter([0.0, 0.0, 2.0])
    monkeypatch.setattr(status.time, "perf_counter", lambda: next(now))
    told: dict[str, Any] = {}
    run = SimpleNamespace(
        status={}, begin=lambda: None, update=lambda **fields: told.update(fields)
    )
    current = SimpleNamespace(completed=first)
    progress = SimpleNamespace(batch_progress=SimpleNamespace(current=current))
    trainer = SimpleNamespace(
        fit_loop=SimpleNamespace(epoch_loop=progress), datamodule=SimpleNamespace(batch_size=32),
        num_training_batches=10, current_epoch=0, global_step=0, loggers=[],
    )  # fmt: skip
    callback: Any = status.Status(run)
    callback.on_fit_start(trainer, None)
    callback.on_train_start(trainer, None)
    current.completed = completed
    task = SimpleNamespace(device=torch.device("cpu"))
    callback.on_epoch_measured(trainer, task, Record("val/acc", "max"))
    assert told["images_per_second"] == images / 2
