"""What a run cannot be judged by is refused before it trains."""

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from resnet_lab.core.errors import one_line
from resnet_lab.runs.checking import metric_checks as expected
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.preflight import Preflight
from resnet_lab.train import train
from tests.helpers import column

WITH = "+expected={metric: %s, value: 0.9, tolerance: 0.01, source: here}"

WRONG = {
    "a metric that is none": (
        ["monitor=val/accuracy", "monitor_mode=max"],
        r"^monitor=val/accuracy: no metric .* use val/loss, val/acc, train/loss, train/acc$",
    ),
    "a metric of the test": (["monitor=test/acc"], r"^monitor=test/acc: no metric has that name"),
    "top-5 of ten classes": (["monitor=val/acc_top5"], r"^monitor=val/acc_top5: no metric"),
    "accuracy of mixed images": (
        ["monitor=train/acc", "augment=mixup"],
        r"^monitor=train/acc: no metric .* use val/loss, val/acc, train/loss$",
    ),
    "split without images": (["data.val_size=0"], r"^monitor=val/acc: no metric has that name"),
    "no validation": (["trainer.limit_val_batches=0"], r"^trainer.limit_val_batches=0: must be"),
    "too few epochs": (
        ["trainer.check_val_every_n_epoch=3"],
        r"^monitor=val/acc is never measured: .* after 9 batches, .* ends after 6;",
    ),
    "too few steps": (
        ["trainer.max_steps=2"],
        r"^monitor=val/acc is never measured: .* after 3 batches, .* ends after 2;",
    ),
    "too few accumulated steps": (
        ["trainer.max_steps=1", "trainer.accumulate_grad_batches=2"],
        r"never measured: .* after 3 batches, .* ends after 2;",
    ),
    "batches of all epochs": (
        ["trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=7"],
        r"never measured: .* after 7 batches, .* ends after 6;",
    ),
    "another best checkpoint": (
        ["callbacks.checkpoint.monitor=val/loss"],
        r"^callbacks.checkpoint.monitor=val/loss, but .* val/acc: set monitor",
    ),
    "another mode": (
        ["callbacks.checkpoint.mode=min"],
        r"^callbacks.checkpoint.mode=min, but .* max: set monitor_mode",
    ),
    "mode": (["monitor_mode=min"], r"^monitor_mode=min: val/acc is better when higher"),
    "plateau upside down": (
        ["scheduler=plateau", "+scheduler.mode=min"],
        r"^scheduler.mode=min, but .* monitor=val/acc is max: leave scheduler.mode out",
    ),
    "plateau each step": (
        ["scheduler=plateau", "scheduler.interval=step"],
        r"^scheduler.interval=step: ReduceLROnPlateau .* use scheduler.interval=epoch",
    ),
    "a watched metric": (
        ["+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/ac}"],
        r"^callbacks.stop.monitor=val/ac: no metric has that name; did you mean val/acc",
    ),
    "barebones": (["+trainer.barebones=true"], r"^trainer: `Trainer.barebones=True, .* was passed"),
    "machines": (["trainer.num_nodes=2"], r"^trainer.num_nodes=2: nothing says where the other"),
    "accumulation": (
        ["+callbacks.a={_target_: lightning.pytorch.callbacks.GradientAccumulationScheduler, "
         "scheduling: {}}"],
        r"^callbacks.a: .*accumulate_grad_batches",
    ),
    "expected metric": (
        [WITH % "test/accuracy"],
        r"^expected.metric=test/accuracy: the run will not have that metric; did you mean test/acc",
    ),
    "expected top-5": ([WITH % "test/acc_top5"], r"^expected.metric=test/acc_top5: .*test/acc"),
    "expected of no test": (
        [WITH % "test/acc", "test=null"],
        r"^expected.metric=test/acc: .* test=null leaves the test out",
    ),
    "expected of other weights": ([WITH % "train/acc"], r"^expected.metric=train/acc: .*val/acc"),
    "expected nothing": (
        ["+expected={value: 0.9}"], r"^expected={'value': 0.9}: must be null, or have metric, value"
    ),
    "expected word": (
        [WITH % "test/acc", "expected.value=high"], r"^expected.value=high: must be a number",
    ),
    "expected tolerance": (
        [WITH % "test/acc", "expected.tolerance=-0.1"], r"^expected.tolerance=-0.1: must not be",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_is_refused_before_training(name: str, tiny, tmp_path: Path, monkeypatch) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("resnet_lab.training.task.ImageClassifier.training_step", never)
    overrides, text = WRONG[name]
    cfg = tiny(*(item.replace("+expected=", "expected=") for item in overrides))
    if name == "accumulation":
        cfg.callbacks.a.scheduling = {0: 1, 1: 2}
    for attempt in (lambda: train(cfg.copy(), tmp_path / "run"), lambda: Preflight().check(cfg)):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            attempt()
        assert re.search(text, one_line(caught.value))


@pytest.mark.parametrize(
    ("metric", "measured", "passed"),
    [
        ("test/acc", 0.95, True), ("test/acc", 0.9, True), ("test/acc", 0.89, True),
        ("test/acc", 0.88, False), ("test/loss", 0.5, True), ("test/loss", 0.91, True),
        ("test/loss", 0.92, False), ("val/acc", 0.95, True), ("val/acc", 0.88, False),
        ("val/ece", 0.1, True), ("val/ece", 0.92, False), ("test/ece", 0.92, False),
    ],
)  # fmt: skip
def test_a_run_passes_up_to_the_tolerance(metric: str, measured: float, passed: bool) -> None:
    _, _, name = metric.partition("/")
    config = OmegaConf.create(
        {
            "monitor": "val/ece", "monitor_mode": "min",
            "expected": {"metric": metric, "value": 0.9, "tolerance": 0.0105, "source": "here"},
        }
    )  # fmt: skip
    status = {"test": {name: measured}, "best": {"metrics": {metric: measured}}}
    found = expected.verdict(config, status)
    assert (found["passed"], found["measured"], found["source"]) == (passed, measured, "here")


def test_the_direction_of_an_unknown_expectation_is_asked_for() -> None:
    told: dict[str, Any] = {"metric": "test/kappa", "value": 0.9, "tolerance": 0.0}
    config = OmegaConf.create({"monitor": "val/acc", "test": "last", "expected": told})
    with pytest.raises(ValueError, match=r"^expected.metric=test/kappa: .* expected.mode=max$"):
        expected.check_expected(config, ["test/kappa"])
    config.expected.mode = "max"
    expected.check_expected(config, ["test/kappa"])
    assert expected.verdict(config, {"test": {"kappa": 0.95}})["passed"]


def test_validation_may_be_expected_without_a_test(tiny, tmp_path: Path) -> None:
    cfg = tiny(
        "expected={metric: val/loss, value: 9.0, tolerance: 0.0, source: here}", "test=null",
        "trainer.max_epochs=1",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    status = Run.load(tmp_path / "run").status
    assert status["expected"]["passed"]
    assert status["expected"]["measured"] == status["best"]["metrics"]["val/loss"]


def test_the_shortest_run_that_is_let_through_is_validated(tiny, tmp_path: Path) -> None:
    for number, overrides in enumerate(
        (
            ["trainer.check_val_every_n_epoch=2"],
            ["trainer.max_steps=3"],
            ["trainer.max_steps=2", "trainer.val_check_interval=2"],
            ["trainer.max_steps=1", "trainer.accumulate_grad_batches=3"],
            ["trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=6"],
        )
    ):
        train(tiny(*overrides), tmp_path / str(number))
        assert len(column(tmp_path / str(number), "val/acc")) == 1, overrides
