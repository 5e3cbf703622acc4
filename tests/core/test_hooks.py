"""Hooks that do nothing are not called; all others are."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LambdaCallback

from resnet_lab.core.hooks import OF_A_BATCH, leave_out_empty_hooks
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test


class Counting(Callback):
    def __init__(self) -> None:
        self.called: list[str] = []

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.called.append("on_train_batch_end")


class Inheriting(Counting):
    def on_before_zero_grad(self, *arguments: Any) -> None:
        self.called.append("on_before_zero_grad")


def test_a_run_calls_the_hooks_that_do_something(tiny, tmp_path: Path) -> None:
    counting, inheriting, called = Counting(), Inheriting(), []
    given = LambdaCallback(on_after_backward=lambda *arguments: called.append(1))
    with ActiveRun.open(tmp_path / "run", tiny("trainer.max_epochs=1")) as run:
        fit_and_test(run, counting, inheriting, given)
    steps = run.status["steps"]
    assert counting.called == ["on_train_batch_end"] * steps
    assert inheriting.called == ["on_before_zero_grad", "on_train_batch_end"] * steps
    assert len(called) == steps


def test_what_is_left_out_is_what_lightning_passes_over() -> None:
    counting = Counting()
    leave_out_empty_hooks([counting])
    left = {name for name in OF_A_BATCH if getattr(counting, name) is not None}
    assert left == {"on_train_batch_end"}
    assert callable(counting.on_save_checkpoint)  # Lightning calls this one without looking
