"""Metrics of the group `metrics` flow into everything that the accuracy flows into."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torchmetrics.classification import (
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassRecall,
)

from resnet_lab.core.directions import monitor_mode
from resnet_lab.core.errors import one_line
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import column, rows

F1 = "+metrics.f1={_target_: torchmetrics.F1Score, task: multiclass, num_classes: 10}"
MSE = "+metrics.mine={_target_: tests.training.test_further_metrics.Share}"


class Share(MulticlassF1Score):
    """A metric that does not say its direction."""

    higher_is_better = None

    def __init__(self) -> None:
        super().__init__(10)


def test_all_of_full_is_measured_logged_recorded_and_evaluated_again(tiny, tmp_path: Path) -> None:
    cfg = tiny("metrics=full", "monitor=val/f1", "test=best", "callbacks=early_stopping")
    assert cfg.callbacks.early_stopping.mode == "max"
    value = train(cfg, tmp_path / "run", trust=True)
    run = Run.load(tmp_path / "run")
    assert run.status["best"]["monitor"] == "val/f1"
    assert value == pytest.approx(max(column(tmp_path / "run", "val/f1")))
    names = ["f1", "ece", "auroc", "kappa", "precision/7", "recall/0"]
    assert {f"{split}/{name}" for split in ("val", "test") for name in names} <= set(
        rows(tmp_path / "run")[0]
    )
    recorded = json.loads((tmp_path / "run/status.json").read_text())["test"]
    found = evaluate(run)
    task, _ = run.load_task("best")
    data = run.build_data()
    data.setup("fit")
    data.setup("test")
    with torch.no_grad():
        batches = [data.finish(batch, augment=False) for batch in data.test_dataloader()]
        chances = torch.cat([task(images).softmax(1) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    expected = {
        "f1": MulticlassF1Score(10, average="macro"),
        "ece": MulticlassCalibrationError(10, n_bins=15),
        "auroc": MulticlassAUROC(10),
    }
    for name, metric in expected.items():
        wanted = pytest.approx(float(metric(chances, labels)), abs=1e-5)
        assert recorded[name] == wanted
        assert found[name] == wanted
    recall = MulticlassRecall(10, average=None)(chances, labels)
    assert found["classes"]["3"]["recall"] == pytest.approx(float(recall[3]))
    assert "recall/3" not in found


def test_a_training_metric_goes_on_in_the_middle_of_an_epoch(
    tiny, tmp_path: Path, monkeypatch
) -> None:
    cfg = tiny("metrics=full", *(f"+metrics.{name}.splits=[train]" for name in ("f1", "auroc")))
    train(cfg.copy(), tmp_path / "whole", trust=True)
    step = ImageClassifier.training_step

    def interrupted(self: ImageClassifier, batch: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == (1, 1):
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), tmp_path / "parts", trust=True)
    train(cfg.copy(), tmp_path / "parts", trust=True)
    for name in ("train/f1", "train/auroc", "val/kappa"):
        assert column(tmp_path / "parts", name) == column(tmp_path / "whole", name)
    assert "val/f1" not in rows(tmp_path / "whole")[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([MSE, "monitor=val/mine"], "^metrics.mine: torchmetrics does not say .*mode=min or max"),
        ([MSE, "+metrics.mine.mode=up", "monitor=val/mine"], "^metrics.mine.mode=up: use min or"),
        ([F1, "metrics.f1.num_classes=4"], "^metrics.f1: MulticlassF1Score does not take pred"),
        ([F1, "+metrics.f1.splits=[vla]"], "^metrics.f1.splits=.*: use some of train, val, test"),
        ([F1, "monitor=val/f2"], "^monitor=val/f2: "),
        ([F1, "monitor=val/f1", "monitor_mode=min"], "^monitor_mode=min: val/f1 is better when hi"),
        (["+metrics.loss={_target_: torchmetrics.MeanMetric}"], "^metrics.loss: the task measures"),
        (["+metrics.x={_target_: torchmetrics.MeanMetric}"], "^metrics.x: "),
        (["+metrics.x={_target_: torch.nn.ReLU}"], "^metrics.x._target_=torch.nn.ReLU: must be a"),
        (
            ["+metrics.m={_target_: torchmetrics.classification.MulticlassConfusionMatrix,"
             "num_classes: 10}"],
            r"^metrics.m: gives \(10, 10\) where a number, or one for each",
        ),
        (["metrics=full", "augment=mixup", "+metrics.f1.splits=[train]"], "mixed images have no"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_before_training(
    overrides, message, tiny, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r".") as refused:
        train(tiny(*overrides), tmp_path / "run", trust=True)
    assert re.search(message, one_line(refused.value))
    assert not (tmp_path / "run").exists()


def test_the_direction_may_be_said_where_it_is_not_known(tiny) -> None:
    cfg = tiny(MSE, "+metrics.mine.mode=min", "monitor=val/mine")
    assert monitor_mode(cfg) == "min"
    assert cfg.callbacks.checkpoint.mode == "min"
