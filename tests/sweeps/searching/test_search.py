"""Searches: what they find, how they go on, what a person is told; nothing is trained here."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf

from resnet_lab.runs.trained.run import TRIAL
from resnet_lab.sweeps.searching.study import STORAGE, read_trial
from tests.helpers import LR, record, states, trials
from tests.sweeps.searcher import BOWL, SMOOTHING, Values, bowl


def test_a_search_finds_better_than_chance_and_is_recorded(search) -> None:
    search(*BOWL, n_trials=30)
    found = [trial.value for trial in trials()]
    assert len(found) == 30
    assert max(found[10:]) > max(found[:10])  # TPE begins with ten at random
    assert sum(found[10:]) / 20 > sum(found[:10]) / 10
    told = record()
    assert (told["state"], len(told["jobs"])) == ("done", 30)
    assert (told["search"]["sampler"], told["search"]["pruner"]) == ("tpe", "null")
    assert told["search"]["space"].keys() == {item.partition("=")[0] for item in BOWL}
    assert max(entry["metric"] for entry in told["jobs"]) == max(found)


def test_the_end_names_the_best(search, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search(*BOWL, "seed=3", n_trials=5)
    best = max(record()["jobs"], key=lambda entry: entry["metric"])
    chosen = [each for each in best["overrides"] if each != "seed=3"]
    assert "5 trials: 5 done" in caplog.text
    assert f"best val/acc {best['metric']:.4f}: {' '.join(chosen)}" in caplog.text


def test_a_loss_is_minimised(search, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    search(*BOWL, n_trials=20, monitor="val/loss", f=lambda values: -bowl(values))
    found = [trial.value for trial in trials()]
    assert sum(found[10:]) < sum(found[:10])
    assert "best val/loss" in caplog.text
    assert f"{min(found):.4f}" in caplog.text


def test_a_study_goes_on_as_an_undisturbed_one(search) -> None:
    search(*BOWL, n_trials=5)
    search(*BOWL, n_trials=5)  # nothing is left to do
    search(*BOWL, n_trials=14)
    halves = [trial.params for trial in trials()]
    assert len(halves) == 14
    assert set(search.trained.values()) == {1}
    search(*BOWL, n_trials=14, directory="other")
    assert [trial.params for trial in trials("other")] == halves
    search(*BOWL, n_trials=3, directory="seeded", seed=1)
    assert trials("seeded")[0].params != halves[0]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_killed_trial_runs_again_with_its_parameters(n_jobs: int, search) -> None:
    def killed(values: Values) -> float:
        if len(search.trained) == 4:
            raise KeyboardInterrupt
        return bowl(values)

    with pytest.raises(KeyboardInterrupt):
        search(*BOWL, n_trials=6, n_jobs=n_jobs, f=killed)
    assert record()["state"] == "interrupted"
    untold = 1 if n_jobs == 1 else 2  # the other one of the batch was done, but not told
    assert states() == ["COMPLETE"] * (4 - untold) + ["RUNNING"] * untold
    fourth = trials()[3].params
    search(*BOWL, n_trials=6, n_jobs=n_jobs)
    assert states() == ["COMPLETE"] * 6
    assert trials()[3].params == fourth
    assert sorted(search.trained.values()) == [1, 1, 1, 1, 1, 2]
    assert {entry["state"] for entry in record()["jobs"]} == {"done"}
    search(*BOWL, n_trials=6, n_jobs=n_jobs, directory="undisturbed")
    assert [trial.params for trial in trials("undisturbed")] == [t.params for t in trials()]


def test_a_process_killed_while_it_chose_leaves_a_trial_that_runs(search) -> None:
    search(*BOWL, n_trials=1)
    url = f"sqlite:///sweep/{STORAGE}"
    optuna.load_study(study_name="search", storage=url).ask()  # it has no values yet
    search(*BOWL, n_trials=2)
    assert states() == ["COMPLETE"] * 2
    search(*BOWL, n_trials=2, directory="undisturbed")
    assert trials()[1].params == trials("undisturbed")[1].params


def test_a_trial_without_an_end_is_left_for_the_next_launch(
    search, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def lost(values: Values) -> float:
        if len(search.trained) == 2:
            raise TimeoutError
        return bowl(values)

    search(*BOWL, n_trials=3, f=lost)
    assert states() == ["COMPLETE", "RUNNING", "COMPLETE"]
    assert "3 trials: 2 done, 1 interrupted" in caplog.text
    search(*BOWL, n_trials=3)
    assert states() == ["COMPLETE"] * 3
    assert sorted(search.trained.values()) == [1, 1, 2]


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    search, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def sometimes(values: Values) -> float:
        if values["model.depth"] == "14":
            raise ValueError("val/loss is nan in epoch 0")
        return float("nan") if values["model.depth"] == "20" else 0.5

    search("model.depth=8,14,20,26", sampler="grid", n_trials=4, f=sometimes)
    found = {trial.params["model.depth"]: trial.state.name for trial in trials()}
    assert found == {"8": "COMPLETE", "14": "FAIL", "20": "FAIL", "26": "COMPLETE"}
    assert "4 trials: 2 done, 2 failed" in caplog.text
    assert record()["state"] == "done"


def test_a_search_of_failures_is_an_error(search) -> None:
    def never(values: Values) -> float:
        raise ValueError("the network is on fire")

    told = "^no trial came to its end; the last error: the network is on fire$"
    with pytest.raises(ValueError, match=told):
        search(LR, n_trials=2, f=never)
    assert states() == ["FAIL", "FAIL"]


def test_the_grid_tries_everything_once(search) -> None:
    space = ("model.depth=8,14", "optimizer.lr=range(0.1,0.35,0.1)")
    for _ in range(2):
        search(*space, sampler="grid", n_trials=50, f=lambda values: 0.5)
        assert len(trials()) == len(search.trained) == 6
        assert set(search.trained.values()) == {1}
    assert {trial.params["optimizer.lr"] for trial in trials()} == {0.1, 0.2, 0.3}


def test_what_was_tried_is_not_trained_again_but_told(search) -> None:
    search("model.depth=8,14", sampler="random", n_trials=8, f=lambda values: 0.5)
    assert [trial.value for trial in trials()] == [0.5] * 8
    assert len(search.trained) == len(record()["jobs"]) == 2
    assert set(search.trained.values()) == {1}


def test_trials_are_chosen_in_batches(search) -> None:
    search("model.depth=8,14", *BOWL, n_jobs=4, n_trials=10)
    assert len(trials()) == len(search.trained) == 10
    search("model.depth=8,14", n_jobs=4, n_trials=4, directory="twins", f=lambda values: 0.5)
    assert states("twins") == ["COMPLETE"] * 4  # several of the batch in one directory
    assert set(search.trained.values()) == {1}


@pytest.mark.parametrize("sampler", ["QMCSampler", "NSGAIISampler"])
def test_any_sampler_of_optuna(sampler: str, search) -> None:
    given = OmegaConf.create({"_target_": f"optuna.samplers.{sampler}", "seed": 1})
    search(*BOWL, sampler=given, n_trials=3)
    search(*BOWL, sampler=given, n_trials=6)  # which does not begin again with what it drew first
    assert len({json.dumps(trial.params) for trial in trials()}) == 6


def test_a_sampler_that_has_nothing_left_to_try(search) -> None:
    given = OmegaConf.create({"_target_": "optuna.samplers.BruteForceSampler"})
    search("model.depth=8,14", sampler=given, n_trials=9, f=lambda values: 0.5)
    assert len(trials()) == len(search.trained) == 2


def test_a_sampler_whose_package_is_missing(search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    given = OmegaConf.create({"_target_": "optuna.samplers.CmaEsSampler"})
    with pytest.raises(ValueError, match=r"^hydra.sweeper.sampler: .*cmaes.*: install it with pip"):
        search(*BOWL, sampler=given, n_trials=9)
    assert not Path("sweep").exists()


@pytest.mark.parametrize(
    ("again", "monitor", "told"),
    [
        (
            ("optimizer.lr=tag(log,interval(1e-2,1))", SMOOTHING), "val/acc",
            "optimizer.lr is from 0.01 to 1.0, logarithmic (was from 0.001 to 1.0, logarithmic)",
        ),
        ((LR,), "val/acc", "task.label_smoothing is not given (was from 0.0 to 0.5)"),
        ((*BOWL, "model.depth=8"), "val/acc", "model.depth is 8 (was not given)"),
        (BOWL, "val/loss", "monitor is val/loss (was val/acc)"),
    ],
)  # fmt: skip
def test_another_search_in_the_directory(
    again: tuple[str, ...], monitor: str, told: str, search
) -> None:
    search(*BOWL, "data_dir=here", n_trials=1)
    before = record()
    with pytest.raises(ValueError, match=r"^sweep holds another search: ") as error:
        search(*again, monitor=monitor, n_trials=2)
    assert told in str(error.value)
    assert record() == before
    assert len(trials()) == 1


@pytest.mark.parametrize(
    ("overrides", "sampler", "pruner", "told"),
    [
        (["seed=1"], "tpe", None, "there is no range to search: give one"),
        ([LR], "tpee", None, "hydra.sweeper.sampler=tpee: no such sampler; did you mean tpe?"),
        (
            [LR],
            "tpe",
            "medium",
            "hydra.sweeper.pruner=medium: no such pruner; did you mean median?",
        ),
        ([LR], {"_target_": "optuna.samplers.TPE"}, None, "hydra.sweeper.sampler._target_=optuna"),
        ([LR], {"_target_": "optuna.samplers.TPESampler", "sed": 1}, None, "did you mean seed?"),
        ([LR], {"_target_": "optuna.pruners.NopPruner"}, None, "is no sampler of Optuna's"),
        ([LR], "grid", None, "lr: a grid cannot try every number from 0.001 to 1.0"),
    ],
)
def test_errors_before_anything_starts(
    overrides: list[str], sampler, pruner: str | None, told: str, search
) -> None:
    given = OmegaConf.create(sampler) if isinstance(sampler, dict) else sampler
    with pytest.raises(ValueError) as error:  # noqa: PT011
        search(*overrides, n_trials=2, sampler=given, pruner=pruner)
    assert told in str(error.value)
    assert not Path("sweep").exists()


@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_lost_study_is_not_begun_anew_beside_its_jobs(lose: Callable, search) -> None:
    search(LR, n_trials=2, f=lambda values: 0.5)
    lose(Path("sweep", STORAGE))
    before = {path.name: path.stat().st_mtime_ns for path in Path("sweep").iterdir()}
    with pytest.raises(ValueError, match=r"^sweep holds jobs, but the study that.* is gone"):
        search(LR, n_trials=3, f=lambda values: 0.5)
    assert {path.name: path.stat().st_mtime_ns for path in Path("sweep").iterdir()} == before


def test_another_sampler_is_another_search(search) -> None:
    search(LR, n_trials=1, f=lambda values: 0.5)
    with pytest.raises(ValueError, match=r"hydra.sweeper.sampler is random \(was tpe"):
        search(LR, n_trials=2, f=lambda values: 0.5, sampler="random")
    assert len(trials()) == 1


def test_a_trial_from_elsewhere_is_data(search, tmp_path: Path) -> None:
    search(LR, n_trials=1, f=lambda values: 0.5)
    optuna.load_study(study_name="search", storage=f"sqlite:///sweep/{STORAGE}").ask()
    (run,) = (path for path in Path("sweep").iterdir() if path.is_dir())
    told = {"trial": 1, "storage": "/nowhere/search.db", "study": "other", "pruner": "median"}
    (run / TRIAL).write_text(json.dumps(told))
    trial = read_trial(run.resolve())  # the study is that of its own sweep, whatever it says
    assert trial is not None
    assert trial.number == 1
    for pruner in (
        {"_target_": "os.mkdir", "_args_": ["harm"]},
        {"_target_": "optuna.pruners._median.os.mkdir", "_args_": ["harm"]},
        {"_target_": "optuna.pruners.PatientPruner", "patience": 1, "wrapped_pruner": [
            {"_target_": "os.mkdir", "_args_": ["harm"]}]},
    ):  # fmt: skip
        (run / TRIAL).write_text(json.dumps({**told, "pruner": pruner}))
        with pytest.raises(ValueError, match=r"os\.mkdir: a configuration from a run directory"):
            read_trial(run.resolve())
    assert not Path("harm").exists()


def test_a_damaged_study_is_named(search) -> None:
    search(LR, n_trials=1, f=lambda values: 0.5)
    Path("sweep", STORAGE).write_bytes(b"no data base" * 100)
    with pytest.raises(ValueError, match=f"^sweep/{STORAGE}: file is not a database$"):
        search(LR, n_trials=2)
