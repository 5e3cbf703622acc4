"""A metric of one's own has the direction that `monitor_mode` says, for everything that asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from optuna.study import StudyDirection
from torchmetrics.classification import MulticlassCalibrationError

from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.searching.space import Space
from resnet_lab.sweeps.searching.study import Options, open_study
from resnet_lab.sweeps.sweep import Sweep, load
from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import column


class WithError(ImageClassifier):
    """A task with metrics of its own, which are better when lower."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.val_ece = MulticlassCalibrationError(10)

    def metric_names(self, split: str) -> list[str]:
        return [*super().metric_names(split), f"{split}/error", f"{split}/ece"]

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log("train/error", 1 - self.train_sums.compute()["acc"], sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log("val/error", 1 - self.val_sums.compute()["acc"], sync_dist=True)

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        self.log("test/error", 1 - self.test_sums.compute()["acc"], sync_dist=True)


@pytest.fixture
def by_error(tiny) -> Callable[..., DictConfig]:
    task = "task._target_=tests.training.test_direction.WithError"
    return lambda *more: tiny(task, "monitor=val/error", "monitor_mode=min", *more)


def test_the_lowest_error_is_best(by_error, tmp_path: Path) -> None:
    cfg = by_error(
        "trainer.max_epochs=4", "optimizer.lr=0.3", "test=best",
        "expected={metric: test/error, value: 1.0, tolerance: 0.0, source: here}",
    )  # fmt: skip
    value = train(cfg, tmp_path / "run", trust=True)
    run = Run.load(tmp_path / "run")
    assert value == pytest.approx(min(column(tmp_path / "run", "val/error")))
    best = run.status["best"]
    assert (best["monitor"], best["mode"], best["value"]) == ("val/error", "min", value)
    assert best["metrics"]["val/acc"] == pytest.approx(1 - value)
    test = run.status["test"]
    assert run.status["expected"]["measured"] == test["error"] == pytest.approx(1 - test["acc"])


def test_torchmetrics_has_a_say(by_error, tmp_path: Path) -> None:
    cfg = by_error()
    cfg.monitor, cfg.monitor_mode = "val/ece", "max"
    with pytest.raises(
        ValueError, match=r"^monitor_mode=max: MulticlassCalibrationError, .* lower"
    ):
        train(cfg, tmp_path / "run", trust=True)


def test_a_sweep_and_a_search_take_it_over(by_error, tmp_path: Path) -> None:
    cfg = by_error()
    with Sweep.open(tmp_path / "sweep", cfg):
        assert load(tmp_path / "sweep")["mode"] == "min"
    space = Space.read(OverridesParser.create().parse_overrides(["optimizer.lr=interval(0.1,1)"]))
    for mode, direction in (("min", StudyDirection.MINIMIZE), ("max", StudyDirection.MAXIMIZE)):
        study = open_study(None, "val/error", mode, space, Options("random", None, 0))
        assert study.direction is direction


@pytest.mark.parametrize(("monitor", "mode"), [("val/acc", "max"), ("val/loss", "min")])
def test_a_plateau_scheduler_lowers_the_rate_when_nothing_improves(
    monitor: str, mode: str, tiny, tmp_path: Path
) -> None:
    cfg = tiny(
        "scheduler=plateau", "scheduler.patience=0", f"monitor={monitor}", "trainer.max_epochs=6",
        "trainer.log_every_n_steps=1",
    )  # fmt: skip
    train(cfg, tmp_path / "run", trust=True)
    rates, values = column(tmp_path / "run", "lr"), column(tmp_path / "run", monitor)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        torch.optim.SGD([torch.zeros(1)], lr=cfg.optimizer.lr), mode=mode, patience=0
    )
    for rate, value in zip(rates, values, strict=True):
        assert rate == pytest.approx(plateau.get_last_lr()[0])
        plateau.step(value)
