"""Only like is ranked with like: same data, same metric, trained and measured in full."""

from pathlib import Path

import pytest

from resnet_lab.reporting.headline import answer
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import read_results
from tests.reporting.fakes import fake_job

WHOLE = "limit_train_batches: 1.0, limit_val_batches: 1.0, limit_test_batches: 1.0"


def config(data: str = "cifar10", trainer: str = WHOLE, more: str = "val_size: 5000") -> str:
    return f"data: {{name: {data}, split_seed: 0, {more}}}\ntrainer: {{{trainer}}}\n"


def ranked(directory: Path, monitor: str | None = None) -> Leaderboard:
    return rank(read_results([directory]), monitor)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three whole runs on CIFAR-10."""
    for seed in range(3):
        fake_job(tmp_path, "model=a", f"seed={seed}", value=0.8 + seed / 100, config=config())
    return tmp_path


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (config("mnist"), "1 job on mnist"),
        (config().replace("split_seed: 0", "split_seed: 1"), "on cifar10 with data.split_seed=1"),
        (config(more="val_size: 0.1"), "1 job on cifar10 with data.val_size=0.1"),
        (config(more="val_size: 5000, num_classes: 2"), "with data.num_classes=2"),
        (config(trainer="limit_train_batches: 3"), "1 limited job (trainer.limit_train_batches=3)"),
        (config(trainer="limit_val_batches: 1"), "1 limited job (trainer.limit_val_batches=1)"),
        (config(trainer="limit_test_batches: 0.5"), "1 limited job (trainer.limit_test_batches"),
        (config(trainer="fast_dev_run: true"), "1 limited job (trainer.fast_dev_run=true)"),
        (config(trainer="overfit_batches: 1"), "1 limited job (trainer.overfit_batches=1)"),
    ],
)
def test_jobs_on_other_data_are_set_aside(other: str, said: str, runs: Path) -> None:
    fake_job(runs, "model=b", "seed=0", value=0.99, config=other)
    found = ranked(runs)
    assert [group.settings for group in found.groups] == [{}]
    assert len(found.jobs) == 3
    (aside,) = found.others
    assert [job.value for job in aside.jobs] == [0.99]
    assert answer(found).startswith(f"Best of 3 jobs{' on cifar10' * (' on ' in said)}")
    assert "Set aside, as they do not compare: 1 " in answer(found)
    assert said in answer(found)


def test_jobs_with_another_monitor_are_set_aside_unless_asked_for(runs: Path) -> None:
    fake_job(runs, "model=b", "seed=0", value=0.3, monitor="val/loss", config=config())
    assert "Set aside, as they do not compare: 1 job with monitor val/loss." in answer(ranked(runs))
    asked = ranked(runs, "val/loss")
    assert [job.value for job in asked.jobs] == [0.3]
    assert [other.description for other in asked.others] == ["3 jobs with monitor val/acc"]


def test_the_headline_is_about_the_most_jobs(runs: Path) -> None:
    for model in "abcd":
        fake_job(runs, f"model={model}", "data=mnist", "seed=0", config=config("mnist"))
    found = ranked(runs)
    assert found.description == "4 jobs on mnist"
    assert [other.description for other in found.others] == ["3 jobs on cifar10"]


def test_limited_runs_are_described_as_limited(tmp_path: Path) -> None:
    fake_job(tmp_path, "model=a", "seed=0", config=config(trainer="limit_train_batches: 2"))
    assert answer(ranked(tmp_path)).startswith(
        "Best of 1 limited job (trainer.limit_train_batches=2): all, with val/acc 90.00 %"
    )


def test_full_runs_are_not_limited(runs: Path) -> None:
    trainer = "fast_dev_run: false, overfit_batches: 0.0, limit_train_batches: null"
    fake_job(runs, "model=b", "seed=0", config=config(trainer=trainer))
    assert ranked(runs).others == ()


def test_pending_jobs_join_those_with_the_same_overrides(runs: Path) -> None:
    fake_job(runs, "model=a", "data=mnist", "seed=0", config=config("mnist"))
    for overrides in (["model=b", "seed=0"], ["model=b", "data=mnist", "seed=0"]):
        path = fake_job(runs, *overrides, state="pending", value=None)
        (path / "config.yaml").unlink()
    found = ranked(runs)
    assert [len(board.jobs) for board in found.all] == [4, 2]
    assert [board.groups[-1].settings for board in found.all] == [{"model": "b"}] * 2


def test_rank_uses_the_recorded_direction(runs: Path, tmp_path: Path) -> None:
    for model, value in (("a", 0.2), ("b", 0.1)):
        fake_job(tmp_path / "ece", f"model={model}", "seed=0", value=value, monitor="val/ece")
    (tmp_path / "ece/sweep.json").write_text('{"monitor": "val/ece", "mode": "min"}')
    assert [group.label for group in ranked(tmp_path / "ece").groups] == ["model=b", "model=a"]
    (tmp_path / "ece/sweep.json").write_text('{"monitor": "val/ece", "mode": "max"}')
    assert [group.label for group in ranked(tmp_path / "ece").groups] == ["model=a", "model=b"]
