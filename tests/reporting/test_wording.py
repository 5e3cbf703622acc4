import json
from pathlib import Path

import pytest

from resnet_lab.reporting.headline import answer
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import Results, read_results
from resnet_lab.reporting.wording import (
    NONE,
    duration,
    facts,
    failures,
    leaderboard_table,
    notes,
    p_value,
)
from tests.reporting.fakes import fake_job, fake_sweep


def read(directory: Path) -> tuple[Results, Leaderboard]:
    results = read_results([directory])
    return results, rank(results)


def column(board: Leaderboard, name: str) -> list[str]:
    columns, rows = leaderboard_table(board)
    return [row[columns.index(name)] for row in rows]


def test_the_table_shows_accuracies_in_percent_with_their_spread(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.90, 0.92, 0.91], ("model=b",): [0.7, 0.73, 0.71]})
    _, board = read(tmp_path)
    columns, rows = leaderboard_table(board)
    assert columns == [
        "", "model", "n", "val/acc (%)", "std", "95 % interval", "against the best",
        "test/acc (%)", "best seed", "time",
    ]  # fmt: skip
    assert rows[0] == [
        "1", "a", "3", "91.00", "1.00", "88.52 to 93.48", "best", "88.00 ± 0.00", "1 (92.00)",
        "1 min 0 s",
    ]  # fmt: skip
    assert rows[1][6].startswith("worse, p < 0.001")


def test_the_table_shows_a_loss_as_it_is(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", value=0.51234, monitor="val/loss")
    assert column(read(tmp_path)[1], "val/loss (nats)") == ["0.5123"]


def test_the_table_shows_a_dash_for_the_std_of_one_seed(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.90, 0.92], ("model=b",): [0.7]})
    _, board = read(tmp_path)
    assert column(board, "std")[1] == column(board, "95 % interval")[1] == NONE
    assert column(board, "against the best")[1] == "one seed: cannot tell"
    assert column(board, "test/acc (%)")[1] == "88.00"


def test_the_table_leaves_out_empty_columns(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.9], ("model=b",): [0.7]}, test=None)
    _, board = read(tmp_path)
    assert leaderboard_table(board).columns == ["", "model", "n", "val/acc (%)", "time"]
    assert any("One seed cannot tell" in line for line in notes(board))


def test_the_table_gives_no_rank_without_a_result(tmp_path: Path) -> None:
    fake_job(tmp_path, "model=a", "seed=0")
    fake_job(tmp_path, "model=b", "seed=0", state="failed", value=None)
    _, board = read(tmp_path)
    assert column(board, "") == ["1", NONE]
    assert column(board, "not finished") == [NONE, "failed"]


def test_the_table_tells_how_far_pruned_jobs_came(tmp_path: Path) -> None:
    fake_job(tmp_path, "lr=1", "seed=0")
    fake_job(tmp_path, "lr=2", "seed=0", state="pruned", value=0.5, epochs=2)
    for seed in range(2):
        fake_job(tmp_path, "lr=3", f"seed={seed}", state="pruned", value=0.4, epochs=1 + seed)
    assert column(read(tmp_path)[1], "not finished")[1:] == [
        "pruned: best 50.00 after epoch 2",
        "2 of 2 pruned: best 40.00 after epoch 1; best 40.00 after epoch 2",
    ]


def test_facts_describe_a_search(tmp_path: Path) -> None:
    fake_job(tmp_path, "lr=1", "seed=0")
    search = {"sampler": "random", "seed": 3, "pruner": "null", "space": {"lr": "from 1 to 2"}}
    (tmp_path / "sweep.json").write_text(json.dumps({"search": search, "jobs": []}))
    told = dict(facts(*read(tmp_path)))
    assert told["sampler"] == "random draws, seed 3"
    assert told["pruner"] == "none: every trial came to its end"
    assert told["space"] == "lr from 1 to 2"


def test_facts_of_a_search_without_a_description_leave_it_out(tmp_path: Path) -> None:
    fake_job(tmp_path, "lr=1", "seed=0")
    for search in (True, {"space": "none"}, ["tpe"]):
        (tmp_path / "sweep.json").write_text(json.dumps({"search": search, "jobs": []}))
        assert not dict(facts(*read(tmp_path))).get("space")


def test_the_answer_names_the_best_and_its_significance(tmp_path: Path) -> None:
    values = {
        ("model.depth=8",): [0.90, 0.92, 0.91],
        ("model.depth=14",): [0.7, 0.73, 0.71],
        ("model.depth=20",): [0.9, 0.91, 0.91],
        ("model.depth=26",): [0.5],
    }
    fake_sweep(tmp_path, values)
    assert answer(read(tmp_path)[1]) == (
        "Best: depth=8, with val/acc 91.00 % (95 % interval 88.52 to 93.48, 3 seeds) and test "
        "accuracy 88.00 ± 0.00 %. Of the other 3 settings: 1 worse beyond noise, 1 not "
        "distinguishable from it, 1 undecided."
    )


def test_the_answer_before_the_first_result(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", state="running", value=None)
    results, board = read(tmp_path)
    assert answer(board) == "No job has finished with a result yet: 1 interrupted."
    assert notes(board) == []
    assert dict(facts(results, board))["jobs"] == "1: 1 interrupted"


def test_notes_explain_ranking_and_tests(tmp_path: Path) -> None:
    fake_sweep(tmp_path, {("model=a",): [0.9, 0.92, 0.91], ("model=b",): [0.7, 0.73, 0.71]})
    text = " ".join(notes(read(tmp_path)[1]))
    assert "Ranked by each job's best val/acc, averaged over seeds; never by the test split" in text
    assert "paired t-test by seed" in text
    assert "1 comparison (Holm)" in text
    assert "Student's t" in text
    assert "different" not in text


def test_notes_warn_of_what_may_mislead(tmp_path: Path) -> None:
    fake_job(tmp_path / "a", "seed=0", device="one", commit="a" * 40)
    fake_job(tmp_path / "b", "seed=0", device="two", commit="b" * 40 + "+")
    fake_job(tmp_path, "seed=0", value=0.1, monitor="val/loss", precision="32-true")
    text = " ".join(notes(read(tmp_path)[1]))
    assert "1 job left out: a later one has the same settings and seed." in text
    assert "--monitor val/loss ranks the jobs with that monitor first." in text
    assert "different commits: aaaaaaaaa, bbbbbbbbb+." in text
    assert "different devices: one, two." in text
    assert "precisions" not in text


def test_failures_are_grouped_by_error(tmp_path: Path) -> None:
    for seed in range(7):
        fake_job(tmp_path, "model=a", f"seed={seed}", state="failed", value=None, error="no memory")
    fake_job(tmp_path, "model=b", "seed=0", state="failed", value=None)
    assert failures(read(tmp_path)[1]) == [
        ("no memory", "; ".join(f"model=a, seed={seed}" for seed in range(5)) + " and 2 more"),
        ("no error was recorded", "model=b, seed=0"),
    ]


def test_facts_name_swept_keys_time_and_disk(tmp_path: Path) -> None:
    for depth in (8, 20):
        fake_job(tmp_path, f"model.depth={depth}", "data=mnist", "seed=0")
        fake_job(tmp_path, f"model.depth={depth}", "data=mnist", "seed=1")
    (tmp_path / "sweep.json").write_text('{"command": "python -m resnet_lab.train -m x"}')
    said = dict(facts(*read(tmp_path)))
    assert said["command"] == "python -m resnet_lab.train -m x"
    assert said["jobs"] == "4: 4 done"
    assert said["swept"] == "model.depth=8,20  2 seeds"
    assert said["all jobs"] == "data=mnist"
    assert said["time"] == "4 min 0 s of training, added up over the jobs"
    assert said["disk"].endswith("kB, 4.0 kB of it checkpoints")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, NONE),
        (1.26, "1.3 s"),
        (61, "1 min 1 s"),
        (3599.6, "1 h 0 min"),
        (7384, "2 h 3 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_duration_has_the_two_largest_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_p_values_have_significant_digits() -> None:
    ps = (0.0001, 0.0314, 0.4, 1.0)
    assert [p_value(p) for p in ps] == ["p < 0.001", "p = 0.031", "p = 0.4", "p = 1"]
