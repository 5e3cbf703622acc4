"""A value counts for the weights that it was measured on, and for no others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from resnet_lab.callbacks.record import EpochCallback, Record
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.helpers import column


def trainer(epoch: int, step: int, **metrics: float) -> Any:
    values = {name.replace("_", "/", 1): torch.tensor(value) for name, value in metrics.items()}
    return SimpleNamespace(current_epoch=epoch, global_step=step, callback_metrics=values)


@pytest.mark.parametrize(("mode", "better"), [("max", 0.75), ("min", 0.25)])
def test_the_later_of_two_equal_epochs_is_the_best(mode: str, better: float) -> None:
    record = Record("val/acc", mode)
    assert record.note("val", trainer(0, 3, val_acc=0.5))
    assert record.note("val", trainer(1, 6, val_acc=0.5))
    assert not record.note("val", trainer(2, 9, val_acc=1 - better))
    assert record.best == {"value": 0.5, "epoch": 2, "step": 6, "metrics": {"val/acc": 0.5}}
    assert record.note("val", trainer(3, 12, val_acc=better))
    assert not record.note("val", trainer(4, 15, val_acc=float("nan")))
    assert record.best["epoch"] == 4


def test_an_earlier_value_is_of_no_later_weights() -> None:
    record = Record("val/acc", "max")
    seen = trainer(0, 3, val_acc=0.5, train_loss=2.0, train_loss_step=9.0)
    record.note("val", seen)
    assert not record.note("train", seen)  # the validation has spoken already
    assert record.best["metrics"] == {"val/acc": 0.5, "train/loss": 2.0}
    stale = trainer(1, 6, val_acc=0.5, train_loss=1.0)
    assert not record.note("train", stale)
    assert record.of_step(6) == {"train/loss": 1.0}
    assert record.of_epoch("val/acc", 2) is None
    assert record.best["metrics"] == {"val/acc": 0.5, "train/loss": 2.0}

    other = Record("val/acc", "max")
    other.load_state_dict(record.state_dict())
    assert (other.best, other.of_epoch("val/acc", 1)) == (record.best, 0.5)


class Observer(EpochCallback):
    """Note what every epoch is told, and what really validates with which weights."""

    def __init__(self) -> None:
        self.told: list[tuple[int, float | None]] = []
        self.validated: dict[int, dict[str, torch.Tensor]] = {}  # by step
        self.values: dict[int, float] = {}

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        step = trainer.global_step
        self.validated[step] = {k: v.clone() for k, v in pl_module.state_dict().items()}
        self.values[step] = float(trainer.callback_metrics["val/acc"])

    def on_epoch_measured(self, trainer: Any, task: Any, record: Record) -> None:
        epoch = trainer.current_epoch + 1
        self.told.append((epoch, record.of_epoch("val/acc", epoch)))


CASES = {
    "every second epoch": (
        ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=5"], [6, 12], [2, 4],
    ),
    "a limit of steps": (["trainer.max_steps=8", "trainer.max_epochs=9"], [3, 6], [1, 2]),
    "within the epoch": (["trainer.val_check_interval=2"], [2, 5], [1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_best_checkpoint_holds_the_weights_of_the_best_value(
    case: str, tiny, tmp_path: Path
) -> None:
    overrides, steps, epochs = CASES[case]
    observer = Observer()
    with ActiveRun.open(tmp_path / "run", tiny(*overrides, "test=best", "optimizer.lr=0")) as run:
        fit_and_test(run, observer)
    run = Run.load(tmp_path / "run")
    best = run.status["best"]
    assert sorted(observer.validated) == steps
    assert [epoch for epoch, value in observer.told if value is not None] == epochs
    assert best["step"] in steps
    assert best["value"] == pytest.approx(observer.values[best["step"]])
    assert best["value"] == pytest.approx(max(observer.values.values()))
    saved = torch.load(run.checkpoint("best"), weights_only=True)
    assert saved["global_step"] == best["step"]
    for name, value in observer.validated[best["step"]].items():
        assert torch.equal(saved["state_dict"][name], value), name
    assert evaluate(run, "val", "best")["acc"] == pytest.approx(best["value"])
    assert len(column(tmp_path / "run", "val/acc")) == len(steps)


def test_an_unvalidated_last_epoch_has_no_validation_in_the_status(tiny, tmp_path: Path) -> None:
    train(tiny("trainer.check_val_every_n_epoch=2", "trainer.max_epochs=3"), tmp_path / "run")
    status = Run.load(tmp_path / "run").status
    assert set(status["metrics"]) == {"train/loss", "train/acc"}
    assert status["best"]["epoch"] == 2
    assert set(status["best"]["metrics"]) == {"train/loss", "train/acc", "val/loss", "val/acc"}


def test_early_stopping_waits_for_epochs_that_were_validated(tiny, tmp_path: Path) -> None:
    cfg = tiny(
        "callbacks=early_stopping", "callbacks.early_stopping.patience=2", "trainer.max_epochs=20",
        "trainer.check_val_every_n_epoch=2", "optimizer.lr=0", "callbacks.progress=null",
        "callbacks.summary=null",
    )  # fmt: skip
    stopped = []
    from resnet_lab.callbacks.early_stopping import EarlyStopping

    class Told(EpochCallback):
        def on_epoch_measured(self, trainer: Any, task: Any, record: Record) -> None:
            (early,) = (c for c in trainer.callbacks if isinstance(c, EarlyStopping))
            stopped.append(early.wait_count)

    with ActiveRun.open(tmp_path / "run", cfg) as run:
        fit_and_test(run, Told())
    values = column(tmp_path / "run", "val/acc")
    waits, best = [], -1.0
    for value in values:
        waits.append(0 if value > best else waits[-1] + 1)
        best = max(best, value)
    assert waits[-1] == 2
    assert Run.load(tmp_path / "run").status["epochs"] == 2 * len(values)


def test_the_trainer_s_checkpoint_callback_is_the_one_that_saves(tiny, tmp_path: Path) -> None:
    from resnet_lab.callbacks.checkpoint import Checkpoint

    found = []

    class Look(EpochCallback):
        def on_epoch_measured(self, trainer: Any, task: Any, record: Record) -> None:
            found.extend(trainer.checkpoint_callbacks)

    with ActiveRun.open(tmp_path / "run", tiny("trainer.max_epochs=1")) as run:
        fit_and_test(run, Look())
    assert [type(callback) for callback in found] == [Checkpoint]
    assert found[0].best_model_path == str(tmp_path / "run/checkpoints/best.ckpt")
