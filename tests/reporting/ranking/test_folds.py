"""Cross-validation in the report: folds are no seeds."""

from pathlib import Path

import pytest

from resnet_lab.reporting.wording import notes
from tests.reporting.fakes import fake_job
from tests.reporting.ranking.test_leaderboard import board


def test_folds_are_pooled_within_a_seed_and_are_no_seeds(tmp_path: Path) -> None:
    for lr, seeds in (("0.1", ((0.8, 0.9), (0.6, 0.7))), ("0.2", ((0.5, 0.5), (0.4, 0.4)))):
        for seed, folds in enumerate(seeds):
            for fold, value in enumerate(folds):
                overrides = (f"optimizer.lr={lr}", "data.folds=2", f"data.fold={fold}")
                config = f"data: {{folds: 2, fold: {fold}}}\n"
                fake_job(tmp_path, *overrides, f"seed={seed}", value=value, config=config)
    found = board(tmp_path)
    assert found.keys == ("optimizer.lr",)
    first = found.groups[0].metric
    assert first is not None
    assert (first.n, first.mean) == (2, pytest.approx(0.75))
    assert first.std == pytest.approx(0.2 / 2**0.5)
    assert not found.repeated
    assert any("mean over its 2 folds" in note for note in notes(found))
    (tmp_path / "optimizer.lr=0.1,data.folds=2,data.fold=1,seed=1/status.json").write_text("{}")
    lost = board(tmp_path).groups
    pooled = next(group for group in lost if group.settings["optimizer.lr"] == "0.1").metric
    assert pooled is not None
    assert (pooled.n, pooled.mean) == (1, pytest.approx(0.85))  # the seed that has both folds


def test_the_interval_over_the_folds_of_one_seed_is_corrected(tmp_path: Path) -> None:
    for fold, value in enumerate((0.7, 0.8, 0.9, 0.8, 0.8)):
        config = f"data: {{folds: 5, fold: {fold}}}\n"
        overrides = ("seed=0", "data.folds=5", f"data.fold={fold}")
        fake_job(tmp_path, *overrides, value=value, config=config)
    found = board(tmp_path)
    metric = found.groups[0].metric
    assert metric is not None
    assert (metric.n, metric.mean, metric.std) == (1, pytest.approx(0.8), None)
    # Student's t of 4 degrees of freedom, std of a fold, sqrt(1/5 + 1/4)
    half = 2.776445 * 0.0707107 * 0.6708204
    assert (metric.low, metric.high) == (pytest.approx(0.8 - half), pytest.approx(0.8 + half))
    assert any("folds share training images (Nadeau" in note for note in notes(found))
    assert not any("mean over seeds" in note for note in notes(found))
