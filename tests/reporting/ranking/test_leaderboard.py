from pathlib import Path

import pytest

from resnet_lab.reporting.headline import answer
from resnet_lab.reporting.ranking.board import Leaderboard, short, short_names
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import read_results
from resnet_lab.reporting.statistics import PAIRED, WELCH
from tests.reporting.fakes import fake_job, fake_sweep

LR = [(f"model.depth=8,optimizer.lr={lr}").split(",") for lr in ("0.1", "0.01", "0.001")]


def board(directory: Path, monitor: str | None = None) -> Leaderboard:
    return rank(read_results([directory]), monitor)


def groups(directory: Path) -> list[tuple[str, int, str]]:
    return [(group.label, len(group.ranked), group.verdict) for group in board(directory).groups]


def test_rank_groups_jobs_by_all_swept_keys_but_the_seed(tmp_path: Path) -> None:
    values = [[0.90, 0.92, 0.91], [0.70, 0.73, 0.71]]
    fake_sweep(tmp_path, dict(zip(map(tuple, LR), values, strict=False)))
    found = board(tmp_path)
    assert found.keys == ("optimizer.lr",)
    assert found.shared == {"model.depth": "8"}
    best, other = found.groups
    assert (best.settings, other.settings) == ({"optimizer.lr": "0.1"}, {"optimizer.lr": "0.01"})
    assert best.metric is not None
    assert (best.metric.n, best.metric.mean) == (3, pytest.approx(0.91))
    assert best.metric.std == pytest.approx(0.01)
    assert best.tests["acc"].mean == pytest.approx(0.88)
    assert best.best is not None
    assert (best.best.seed, best.seconds) == (1, 60.0)
    assert other.against_best is not None
    assert other.against_best.test == PAIRED
    assert (best.verdict, other.verdict) == ("best", "worse")


def test_rank_ignores_the_test_split(tmp_path: Path) -> None:
    fake_job(tmp_path, "model=a", "seed=0", value=0.9, test=0.1)
    fake_job(tmp_path, "model=b", "seed=0", value=0.8, test=0.99)
    assert [group.label for group in board(tmp_path).groups] == ["model=a", "model=b"]


def test_rank_prefers_the_lower_loss(tmp_path: Path) -> None:
    for model, loss in (("a", 0.5), ("b", 0.4)):
        fake_job(tmp_path, f"model={model}", "seed=0", value=loss, monitor="val/loss")
        fake_job(tmp_path, f"model={model}", "seed=1", value=loss + 0.2, monitor="val/loss")
    best = board(tmp_path).groups[0]
    assert best.label == "model=b"
    assert best.best is not None
    assert best.best.value == 0.4


def test_many_comparisons_are_corrected(tmp_path: Path) -> None:
    models = ("a", "b", "c", "d")
    fake_sweep(
        tmp_path,
        {
            (f"model={name}",): [0.9 - i / 50, 0.89 - i / 40, 0.9 - i / 45]
            for i, name in enumerate(models)
        },
    )
    others = board(tmp_path).groups[1:]
    ps = [group.against_best.p for group in others if group.against_best]
    alone = tmp_path.with_name("alone")
    fake_sweep(alone, {("model=a",): [0.9, 0.89, 0.9], ("model=d",): [0.84, 0.815, 0.9 - 3 / 45]})
    (test,) = (group.against_best for group in board(alone).groups[1:])
    assert test is not None
    assert ps[2] == pytest.approx(3 * test.p)


def test_a_group_that_lost_a_seed_is_tested_by_welch(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.9, 0.91, 0.92], ("model=b",): [0.8, 0.81]})
    fake_job(tmp_path, "model=b", "seed=2", state="failed", value=None, error="out of memory")
    other = board(tmp_path).groups[1]
    assert other.against_best is not None
    assert (other.against_best.test, other.unfinished) == (WELCH, "1 of 3 failed")


def test_verdict_on_one_seed_is_open(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.9, 0.91], ("model=b",): [0.5]})
    assert groups(tmp_path)[1] == ("model=b", 1, "one seed: cannot tell")


def test_verdict_without_spread_is_open(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.9, 0.9], ("model=b",): [0.8, 0.8]})
    assert groups(tmp_path)[1] == ("model=b", 2, "no spread: cannot tell")


def test_close_groups_are_not_distinguishable(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.90, 0.94, 0.92], ("model=b",): [0.91, 0.92, 0.92]})
    assert groups(tmp_path)[1] == ("model=b", 3, "not distinguishable")


def test_groups_without_a_result_come_last_with_their_failures(tmp_path: Path) -> None:
    for seed in range(2):
        fake_job(tmp_path, "model=a", f"seed={seed}", state="failed", value=None, error="no")
        fake_job(tmp_path, "model=b", f"seed={seed}", value=0.1)
    fake_job(tmp_path, "model=c", "seed=0", value=None)  # done, but its metric was no number
    fake_job(tmp_path, "model=d", "seed=0", state="running")
    found = board(tmp_path)
    assert [(group.label, group.unfinished) for group in found.groups] == [
        ("model=b", ""),
        ("model=a", "2 of 2 failed"),
        ("model=c", "1 of 1 without a value"),
        ("model=d", "1 of 1 interrupted"),
    ]
    assert [group.label for group in found.ranked] == ["model=b"]
    assert found.groups[1].verdict == "no result"


@pytest.mark.parametrize("state", ["running", "interrupted", "pruned", "failed"])
def test_rank_ignores_unfinished_jobs(state: str, tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", value=0.5)
    fake_job(tmp_path, "seed=1", value=0.99, state=state)
    (group,) = board(tmp_path).groups
    assert group.metric is not None
    assert (group.metric.n, group.metric.mean) == (1, 0.5)


def test_rank_keeps_the_later_of_two_jobs_with_one_seed(tmp_path: Path) -> None:
    fake_job(tmp_path / "old", "seed=0", value=0.5, updated="2026-01-01")
    fake_job(tmp_path / "new", "seed=0", value=0.6, updated="2026-01-02")
    found = board(tmp_path)
    assert [job.value for job in found.groups[0].ranked] == [0.6]
    assert [job.value for job in found.repeated] == [0.5]


def test_rank_does_not_pair_unknown_seeds(tmp_path: Path) -> None:
    for model, value in (("a", 0.9), ("b", 0.8)):
        for number in range(3):
            path = fake_job(tmp_path, f"model={model}", f"x={number}", value=value + number / 50)
            (path / "config.yaml").unlink()
            text = (path / "status.json").read_text().replace(f', "x={number}"', "")
            (path / "status.json").write_text(text)
    tests = [group.against_best.test for group in board(tmp_path).groups if group.against_best]
    assert tests == [WELCH]


def test_rank_reads_keys_from_the_configuration(tmp_path: Path) -> None:
    fake_job(tmp_path, "optimizer.lr=0.1", "seed=0", config="optimizer: {lr: 0.1}")
    fake_job(tmp_path, "seed=1", config="optimizer: {lr: 0.1}")
    fake_job(tmp_path, "seed=2", config="optimizer: {lr: 0.5}")
    found = {group.settings["optimizer.lr"]: len(group.jobs) for group in board(tmp_path).groups}
    assert found == {"0.1": 2, "0.5": 1}


def test_jobs_with_another_monitor_are_left_out_until_asked_for(tmp_path: Path) -> None:
    for seed in range(2):
        fake_job(tmp_path, "model=a", f"seed={seed}")
    fake_job(tmp_path, "model=b", "seed=0", value=0.3, monitor="val/loss")
    found = board(tmp_path)
    assert (found.metric.name, len(found.groups), len(found.others)) == ("val/acc", 1, 1)
    assert found.others[0].description == "1 job with monitor val/loss"
    asked = board(tmp_path, "val/loss")
    assert [job.value for group in asked.groups for job in group.jobs] == [0.3]
    with pytest.raises(ValueError, match=r"--monitor val/x: .* there are val/acc, val/loss"):
        board(tmp_path, "val/x")


def test_numbers_of_a_key_are_none_for_words(tmp_path: Path) -> None:
    for depth, model in (("20", "a"), ("8", "3"), ("110", "b")):
        fake_job(tmp_path, f"model.depth={depth}", f"model={model}", "seed=0")
    found = board(tmp_path)
    assert found.numbers("model.depth") == [8, 20, 110]
    assert found.numbers("model") is None


def test_short_names_stay_unique() -> None:
    assert short_names(["optimizer.lr", "model.name", "data.name", "data"]) == {
        "optimizer.lr": "lr",
        "model.name": "model.name",
        "data.name": "data.name",
        "data": "data",
    }
    assert [short(text) for text in ("0.123456789", "0.0005", "resnet_20", "1000000")] == [
        "0.1235",
        "0.0005",
        "resnet_20",
        "1e+06",
    ]


DIVERGED = "val/loss is nan in epoch 3: the training diverged; lower optimizer.lr"


def test_a_setting_with_diverged_seeds_does_not_win(tmp_path: Path) -> None:
    values = {("optimizer.lr=0.1",): [0.90, 0.91, 0.92, 0.91, 0.90]}
    values[("optimizer.lr=0.01",)] = [0.80, 0.81, 0.82, 0.81, 0.80]
    fake_sweep(tmp_path, values)
    fake_job(tmp_path, "optimizer.lr=0.8", "seed=0", value=0.99)
    for seed in range(1, 5):
        lost = {"state": "failed", "value": None, "error": DIVERGED}
        fake_job(tmp_path, "optimizer.lr=0.8", f"seed={seed}", **lost)
    found = board(tmp_path)
    assert [(group.label, group.verdict) for group in found.groups] == [
        ("lr=0.1", "best"),
        ("lr=0.01", "worse"),
        ("lr=0.8", "lost jobs: not compared"),
    ]
    assert found.groups[-1].unfinished == "4 of 5 diverged"
    assert answer(found) == (
        "Best: lr=0.1, with val/acc 90.80 % (95 % interval 89.76 to 91.84, 5 seeds) and test "
        "accuracy 88.00 ± 0.00 %. Of the other 2 settings: 1 worse beyond noise, 1 ranked below "
        "for lost jobs. lr=0.8 has a better mean (99.00 %), but 4 of 5 diverged: it is ranked "
        "below. 4 of 15 jobs have no result: 4 diverged."
    )


def test_a_crash_is_incomplete_and_is_compared_all_the_same(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.8, 0.81, 0.82], ("model=b",): [0.90, 0.91]})
    fake_job(tmp_path, "model=b", "seed=2", state="failed", value=None, error="no memory")
    found = board(tmp_path)
    assert groups(tmp_path)[0][0] == "model=a"
    assert found.groups[1].against_best is not None
    assert "model=b has a better mean (90.50 %), but 1 of 3 failed" in answer(found)


def test_a_failed_job_with_a_later_success_has_not_failed(tmp_path: Path) -> None:
    fake_job(tmp_path / "x", "seed=0", state="failed", value=None, error=DIVERGED, updated="1")
    fake_job(tmp_path / "y", "seed=0", updated="2")
    (group,) = board(tmp_path).groups
    assert (group.sound, group.unfinished) == (True, "")


def test_where_all_settings_lost_jobs_the_headline_says_so(tmp_path: Path) -> None:
    fake_job(tmp_path, "model=a", "seed=0")
    fake_job(tmp_path, "model=a", "seed=1", state="failed", value=None, error=DIVERGED)
    found = board(tmp_path)
    assert found.groups[0].verdict == "first, but lost jobs"
    assert "(1 seed; 1 of 2 diverged)" in answer(found)
