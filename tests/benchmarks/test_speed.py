"""The speed campaign measures both sides of each question."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.speed import __main__ as speed
from benchmarks.speed import commands, contention, in_turn, loops, medians, ratio, rival, table
from resnet_lab.measuring.subject import Subject
from tests.helpers import REPOSITORY


@pytest.mark.slow
def test_every_question_is_answered_with_both_sides(monkeypatch, tmp_path: Path, capsys) -> None:
    start = {"imports": 2.0, "first_step": 3.0, "ratio": 1.5, "n": 1}
    own = {"trainer": {"bare": 2, "ours": 1, "ratio": 0.5, "n": 8, "between_epochs": 1,
                       "n_between": 1},
           "variants": {"a": 1.0}, "n_variants": 4, "recommended": "a", "configuration": ["digits"],
           "images": "digits", "machine": {"device": "cpu"}}  # fmt: skip
    monkeypatch.setattr(speed, "benchmark", lambda overrides, repeats: own)
    monkeypatch.setattr(commands, "start_up", lambda repeats: start)
    small = ("data=digits", "model.depth=8", "trainer.precision=32-true", "trainer.accelerator=cpu")
    speed.main([*small, "--repeats", "1", "--json", str(tmp_path / "figures.json")])
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["loader"]["ratio"] == pytest.approx(
        found["loader"]["ours"] / found["loader"]["torchvision"]
    )
    assert min(found["loader"].values()) > 0
    assert {"lightning", "ours", "difference", "input", "n"} == set(found["step_overhead"])
    assert found["start"]["ratio"] == 1.5
    assert [found[name]["n"] for name in ("step_overhead", "loader")] == [2, 1]
    assert "recommended: a" in capsys.readouterr().out
    assert not Path("logs").exists()  # the measured runs leave nothing


def test_the_overhead_of_a_step_is_the_median_of_differences(monkeypatch, tiny) -> None:
    measured = SimpleNamespace(others=[1000.0, 500.0, 250.0], rates=[250.0, 200.0, 125.0])
    monkeypatch.setattr(loops, "timed_training", lambda *args, **kwargs: measured)
    monkeypatch.setattr(loops, "loader_rate", lambda data, seconds: 6400.0)
    found = loops.step_overhead(Subject(tiny()), 1)
    assert found == {"lightning": 2.0, "ours": 5.0, "difference": 3.0, "input": 5.0, "n": 3}  # ms


def test_several_are_measured_in_turn() -> None:
    turns = iter([1.0, 3.0, 2.0, 5.0])
    found = in_turn({"first": lambda: next(turns), "second": lambda: next(turns)}, 2)
    assert medians(found) == {"first": 1.5, "second": 4.0}
    assert ratio(found, "second", "first") == 2.75


def test_a_measured_command_that_fails_says_why() -> None:
    assert 0 < commands.seconds_of("-c", "pass") < 60
    with pytest.raises(ValueError, match="the reason"):
        commands.seconds_of("-c", "raise SystemExit('the reason')")


@pytest.mark.slow
def test_the_process_ends_at_its_first_step(tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable, "-m", "resnet_lab.train", "run_dir=run",
            "+callbacks.last_step._target_=benchmarks.speed.commands.LastStep",
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "running"
    assert not (tmp_path / "run/checkpoints").exists()


def test_the_pool_is_held_to_the_best_choice_by_hand(monkeypatch) -> None:
    monkeypatch.setattr(contention, "available_cores", lambda: 4)
    times = {"workers=1": 40.0, "workers=2": 30.0, "workers=4": 20.0, "local_pool": 21.0}

    def seconds_of(*words: str) -> float:
        return next((times[key] for key in times for word in words if word.endswith(key)), 35.0)

    monkeypatch.setattr(contention, "seconds_of", seconds_of)
    assert contention.pool_cost(8, repeats=1) == {
        "auto": 21.0, "in_process": 35.0, "1": 40.0, "2": 30.0, "4": 20.0, "best": 20.0,
        "ratio": 1.05, "ratio_in_process": 0.6, "n": 1,
    }  # fmt: skip


def test_a_part_of_the_whole_jobs_has_its_rows_alone() -> None:
    times = {"best": 2.0, "auto": 2.5, "ratio": 1.25, "n": 3, "cores": 2}
    found = table.rows({"jobs": {"quiet": times, "busy": times}})
    assert [row[2:] for row in found] == [("2.0", "2.5", "1.25")] * 2


def test_a_part_that_there_is_not_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        speed.main(["--full", "--only", "contest"])
    assert "contention" in capsys.readouterr().err


def test_a_line_is_linear_and_a_curve_is_not() -> None:
    assert loops.linearity({"20": 1.0, "32": 1.6, "56": 2.8, "110": 5.5}) < 1e-9
    assert loops.linearity({"20": 1.0, "32": 1.6, "56": 2.8, "110": 11.0}) > 0.1


@pytest.fixture
def other_template(tmp_path: Path) -> Path:
    script = tmp_path / "clone/src/train.py"
    script.parent.mkdir(parents=True)
    script.touch()
    return tmp_path / "clone"


def test_the_other_template_is_timed_beside_ours(other_template, monkeypatch, tmp_path) -> None:
    (tmp_path / "data/MNIST").mkdir(parents=True)
    started = []

    def seconds_of(*arguments: str, **environment: str) -> float:
        started.append((arguments, environment))
        if arguments[0] == "-c":
            return 2.0
        if arguments[0].endswith("src/train.py"):
            return 60.0
        return 12.0 if "-m" in arguments[2:] else 4.0

    monkeypatch.setattr(rival, "seconds_of", seconds_of)
    found = rival.against_rival(other_template, tmp_path / "data", repeats=1, jobs=5)
    assert found == {
        "theirs": 60.0, "ours": 4.0, "ratio": 15.0, "imports": 2.0, "further_job": 2.0,
        "ratio_further_job": 30.0, "n": 1,
    }  # fmt: skip
    (theirs, _), (ours, environment), *_ = started
    assert f"paths.data_dir={tmp_path}/data/" in theirs
    assert f"data_dir={tmp_path}/data" in ours
    assert str(other_template) in environment["PYTHONPATH"]


def test_no_clone_and_no_data_are_refused(other_template, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        speed.main(["--rival", str(tmp_path)])
    error = capsys.readouterr().err
    assert error.startswith(f"error: --rival {tmp_path}: it has no src/train.py; give a clone of")
    with pytest.raises(ValueError, match=r"MNIST is not in .*/none; train on data=mnist once"):
        rival.against_rival(other_template, tmp_path / "none")
