"""Multi-label classification and regression: the digits as labels, and as a number."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score, r2_score

from resnet_lab import analyse, compare, load, report
from resnet_lab import evaluate as command
from resnet_lab.data.sources.base import Images
from resnet_lab.data.sources.digits import Digits
from resnet_lab.data.splits import stratified_split
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.multilabel import MultiLabelSums
from resnet_lab.training.regression import RegressionSums
from tests.helpers import TINY

HERE = "tests.training.test_tasks"
PEARSON = "+metrics.pearson={_target_: torchmetrics.PearsonCorrCoef, mode: max}"


@dataclass(frozen=True)
class EvenAndLarge(Digits):
    """The digits, labelled by whether they are even and whether they are above 5."""

    @property
    def classes(self) -> tuple[str, ...]:
        return ("even", "above 5")

    def read(self, split: str) -> Images:
        pixels, digits = super().read(split)
        return Images(pixels, torch.stack([digits % 2 == 0, digits > 5], 1).to(torch.uint8))


@dataclass(frozen=True)
class AsNumber(Digits):
    """The digits, whose label is the number that they show, from 0 to 1."""

    @property
    def classes(self) -> tuple[str, ...]:
        return ("digit",)

    def read(self, split: str) -> Images:
        pixels, digits = super().read(split)
        return Images(pixels, digits / 9)


@pytest.fixture
def labelled(tiny):
    def configured(source: str, *overrides: str) -> Any:
        outputs = {"EvenAndLarge": 2, "AsNumber": 1}[source]
        cfg = tiny(
            f"data.num_classes={outputs}", "model.depth=8", "trainer.limit_train_batches=1.0",
            "trainer.max_epochs=4", *overrides,
        )  # fmt: skip
        cfg.data.source = {"_target_": f"{HERE}.{source}"}
        return cfg

    return configured


def test_several_labels_are_learned_and_told_of(
    labelled, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("RESNET_LAB_TRUSTED", "tests")
    train(labelled("EvenAndLarge", "task=multilabel"), tmp_path / "run", trust=True)
    run = Run.load(tmp_path / "run")
    assert run.status["best"]["monitor"] == "val/f1"
    test = run.status["test"]
    assert test["acc"] > 0.6  # 0.25 by chance
    assert (
        run.status["test"]["acc_low"] < run.status["test"]["acc"] < run.status["test"]["acc_high"]
    )
    found = evaluate(run)
    assert found["f1"] == pytest.approx(test["f1"], abs=1e-6)
    assert found["classes"].keys() == {"even", "above 5"}
    assert {"acc", "acc_low", "precision", "recall", "f1"} <= found["classes"]["even"].keys()
    command.main([str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert "above 5" in said
    assert "precision" in said
    report.main([str(tmp_path)])
    assert "test/f1" in (tmp_path / "report.md").read_text()
    capsys.readouterr()
    train(labelled("EvenAndLarge", "task=multilabel", "seed=1"), tmp_path / "other", trust=True)
    capsys.readouterr()
    compare.main([str(tmp_path / "run"), str(tmp_path / "other"), "--json"])
    (paired,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert paired["acc"][0] == pytest.approx(found["acc"])
    network = load(tmp_path / "run")
    assert network(network.data.source.read("test").pixels[:3]).shape == (3, 2)
    told = r"run was trained by MultiLabelClassifier: .* need one class for each image"
    with pytest.raises(ValueError, match=told):
        network.predict_probabilities(torch.zeros(1, 8, 8, 1, dtype=torch.uint8))
    analyse.main([str(tmp_path / "run")])
    assert "Macro F1" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "run/analysis.json").read_text())
    for key in ("f1", "acc", "acc_low", "acc_high"):
        assert numbers[key] == pytest.approx(test[key], abs=1e-6)
    assert numbers["f1_low"] < numbers["f1"] < numbers["f1_high"]
    for name, label in numbers["labels"].items():
        assert label["f1"] == pytest.approx(found["classes"][name]["f1"])
        assert label["f1_low"] < label["f1"] < label["f1_high"]
        assert 0 < label["threshold"] < 1
        assert label["ap"] > 0.5
    with (tmp_path / "run/analysis/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    said = [[float(row[f"p({name})"]) > 0.5 for name in ("even", "above 5")] for row in rows]
    true = [[int(row[name]) for name in ("even", "above 5")] for row in rows]
    assert f1_score(true, said, average="macro") == pytest.approx(test["f1"], abs=1e-6)
    page = (tmp_path / "run/analysis.html").read_text()
    assert "wrongly even (" in page
    assert "Worst mistakes" in page


def test_a_table_of_labels_is_learned(composed, tmp_path: Path) -> None:
    images = Digits().read("test")
    rows = ["path,even,above_5"]
    for number, (pixels, digit) in enumerate(zip(images.pixels, images.labels, strict=True)):
        Image.fromarray(pixels[..., 0].numpy()).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{int(digit % 2 == 0)},{int(digit > 5)}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    chosen = (*TINY, "data=table", f"data.file={tmp_path}/labels.csv", "task=multilabel")
    train(composed(*chosen, "trainer.limit_train_batches=1.0"), tmp_path / "run")
    run = Run.load(tmp_path / "run")
    assert run.status["best"]["monitor"] == "val/f1"
    assert list(evaluate(run)["classes"]) == ["even", "above_5"]


def test_a_number_is_learned_and_told_of(labelled, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("RESNET_LAB_TRUSTED", "tests")
    more = ("task=regression", "optimizer=adam", PEARSON)
    for seed in (0, 1):
        train(labelled("AsNumber", *more, f"seed={seed}"), tmp_path / f"run{seed}", trust=True)
    run = Run.load(tmp_path / "run0")
    assert (run.status["best"]["monitor"], run.status["best"]["mode"]) == ("val/mae", "min")
    test = run.status["test"]
    assert test["mae"] < 0.2  # a constant has 0.28
    assert test["mae_low"] < test["mae"] < test["mae_high"]
    assert "acc" not in test
    assert "is left out" not in (tmp_path / "run0/train.log").read_text()
    assert test["pearson"] > 0.7
    found = evaluate(run)
    assert found["mae"] == pytest.approx(test["mae"], rel=1e-5)
    assert found["classes"] == {}
    command.main([str(tmp_path / "run0")])
    assert "mae" in capsys.readouterr().out
    analyse.main([str(tmp_path / "run0")])
    assert "Predictions are off by" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "run0/analysis.json").read_text())["numbers"]["digit"]
    for key in ("mae", "rmse", "r2"):
        assert numbers[key] == pytest.approx(test[key], rel=1e-4)
        assert numbers[f"{key}_low"] < numbers[key] < numbers[f"{key}_high"]
    assert numbers["constant"] == pytest.approx(0.277, abs=0.01)
    with (tmp_path / "run0/analysis/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    true, said = ([float(row[f"{kind}(digit)"]) for row in rows] for kind in ("true", "said"))
    assert r2_score(true, said) == pytest.approx(numbers["r2"])
    assert "Predicted against true" in (tmp_path / "run0/analysis.html").read_text()
    assert (tmp_path / "run0/analysis/predicted_against_true.png").exists()
    report.main([str(tmp_path)])
    said = (tmp_path / "report.md").read_text()
    assert "test/mae" in said
    assert "test/acc" not in said
    capsys.readouterr()
    compare.main([str(tmp_path / "run0"), str(tmp_path / "run1"), "--json"])
    (paired,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert paired["mae"][0] == pytest.approx(test["mae"], rel=1e-4)
    assert paired["difference_low"] < paired["difference"] < paired["difference_high"]


@pytest.mark.parametrize(
    ("source", "task", "message"),
    [
        ("EvenAndLarge", "classification", "^task=classification needs one class .*multilabel or"),
        ("AsNumber", "multilabel", "^task=multilabel needs labels of 0 and 1.*use task=regression"),
    ],
)
def test_labels_of_another_task_are_refused(
    source: str, task: str, message: str, labelled, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(labelled(source, f"task={task}"), tmp_path / "run", trust=True)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_classes_are_not_several_labels_nor_numbers(task: str, tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^task={task} needs .*use task=classification"):
        train(tiny(f"task={task}"), tmp_path / "run", trust=True)


def test_sums_of_labels_agree_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 3, generator=generator)
    labels = (torch.rand(50, 3, generator=generator) > 0.4).float()
    sums = MultiLabelSums(3)
    for part in (slice(0, 30), slice(30, 50), slice(50, 50)):
        sums.update(logits[part], labels[part], torch.tensor(1.0))
    found = sums.result()
    assert found["f1"] == pytest.approx(f1_score(labels, logits > 0, average="macro"))
    assert found["acc"] == ((logits > 0) == labels.bool()).all(1).float().mean()
    assert found["images"] == 50


def test_sums_of_numbers_agree_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(2, 50, 1, generator=generator)
    sums = RegressionSums(1)
    for part in (slice(0, 30), slice(30, 50), slice(50, 50)):
        sums.update(outputs[part], targets[part], torch.tensor(1.0))
    found = sums.result()
    assert found["r2"] == pytest.approx(r2_score(targets, outputs), abs=1e-4)
    assert found["mae"] == pytest.approx(float((outputs - targets).abs().mean()))
    half = 1.959964 * float((outputs - targets).abs().std()) / 50**0.5
    assert found["mae_high"] - found["mae"] == pytest.approx(half, rel=1e-4)


def test_splits_keep_the_shares_of_labels_and_the_range_of_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(400, 2, generator=generator) > torch.tensor([0.9, 0.5])).float()
    stay, aside = stratified_split(labels, 100, 0)
    assert torch.allclose(labels[aside].mean(0), labels.mean(0), atol=0.01)
    numbers = torch.rand(400, 1, generator=generator)
    stay, aside = stratified_split(numbers, 100, 0)
    assert sorted([*stay.tolist(), *aside.tolist()]) == list(range(400))
    assert abs(float(numbers[aside].mean() - numbers.mean())) < 0.01
