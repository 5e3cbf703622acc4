"""Searches whose trials train: in this process, on a pool, killed; and what is pruned."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from omegaconf import DictConfig

from resnet_lab.core.configuration.config import CONF
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.resolvers import register_resolvers
from resnet_lab.sweeps.searching.study import STORAGE
from resnet_lab.train import train
from tests.helpers import LR, TINY, fits, record, states, trials
from tests.helpers import runs_of as runs


@pytest.fixture
def hydra() -> Iterator[Callable[..., None]]:
    """A function that runs a search within Hydra, in this process, training for real."""
    register_resolvers()

    def job(cfg: DictConfig) -> float | None:
        context = HydraConfig.get()
        return train(cfg, context.runtime.output_dir, list(context.overrides.task))

    def run(*overrides: str) -> None:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), **VERSION_BASE):
            given = ["hydra/sweeper=optuna", "sweep_dir=sweep", *overrides]
            engine = GlobalHydra.instance().hydra
            assert engine is not None
            engine.multirun("train", job, given, with_log_configuration=False)

    yield run
    HydraConfig.instance().cfg = None


def test_a_wrong_choice_is_found_before_anything_starts(hydra) -> None:
    with pytest.raises(ValueError, match=r"model.depth=21.*nothing was started"):
        hydra(*TINY[1:], "model.depth=choice(8,14,20,26,21)", LR)
    assert not Path("sweep").exists()


def test_preflight_shows_the_first_trials_and_starts_nothing(
    hydra, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    hydra(*TINY, LR, "preflight=true")
    assert "the first of 20 trials" in caplog.text
    assert capsys.readouterr().out.count("75,002") == 3
    assert not Path("sweep").exists()


def test_numbers_that_cannot_be(hydra) -> None:
    with pytest.raises(
        ValueError, match=r"^hydra.sweeper.n_jobs=0: must be an integer >= 1, or null$"
    ):
        hydra(LR, "hydra.sweeper.n_jobs=0")
    with pytest.raises(ValueError, match=r"^hydra.sweeper.n_trials=ten: must be an integer"):
        hydra(LR, "hydra.sweeper.n_trials=ten")


def test_ranges_of_a_yaml_of_the_command_line_and_of_a_group(hydra) -> None:
    hydra(
        *TINY, "sweep=search", "optimizer=glob(adam*)", "optimizer.lr=0.1",
        "trainer.max_epochs=1", "test=null", "hydra.sweeper.n_trials=1",
    )  # fmt: skip
    (trial,) = trials()
    assert set(trial.params) == {"optimizer", "optimizer.weight_decay", "task.label_smoothing"}
    assert set(trial.distributions["optimizer"].choices) == {"adam", "adamw"}
    (run,) = runs().values()
    assert run.config.optimizer.lr == 0.1
    assert run.config.task.label_smoothing == float(trial.params["task.label_smoothing"])


# Two rates that learn, and then one that does not; the third trial may be pruned.
HOPELESS = (
    "optimizer.lr=0.2,0.1,1e-6", "trainer.max_epochs=3", "hydra.sweeper.seed=5",
    "hydra.sweeper.sampler=grid",
    "hydra.sweeper.pruner={_target_: optuna.pruners.MedianPruner, n_startup_trials: 2}",
)  # fmt: skip


def test_a_hopeless_trial_is_pruned(hydra, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    hydra(*TINY, *HOPELESS)
    assert [trial.params["optimizer.lr"] for trial in trials()] == ["0.2", "0.1", "1e-06"]
    assert states() == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert "3 trials: 2 done, 1 pruned" in caplog.text
    assert [entry["state"] for entry in record()["jobs"]] == ["done", "done", "pruned"]
    run = Run.load(Path("sweep", record()["jobs"][2]["directory"]))
    assert run.status["state"] == "pruned"
    assert run.done
    assert run.has_checkpoint("last")
    assert "test" not in run.status
    with (run.directory / "metrics.csv").open() as file:
        curve = [float(row["val/acc"]) for row in csv.DictReader(file) if row.get("val/acc")]
    assert len(curve) == run.status["epochs"] < 3
    told = trials()[2].intermediate_values  # by number of epochs
    assert told == pytest.approx(dict(enumerate(curve, 1)))
    before = run.status["updated"]
    assert train(run.config, run.directory) == run.status["best"]["value"]
    assert Run.load(run.directory).status["updated"] == before  # it is over


def test_a_further_metric_can_prune(hydra) -> None:
    hydra(*TINY, *HOPELESS, "metrics=full", "monitor=val/ece")
    for trial, job in zip(trials(), record()["jobs"], strict=True):
        with Path("sweep", job["directory"], "metrics.csv").open() as file:
            curve = [float(row["val/ece"]) for row in csv.DictReader(file) if row.get("val/ece")]
        assert trial.intermediate_values == pytest.approx(dict(enumerate(curve, 1)))
        if job["state"] == "done":  # an error: the least is the best
            assert trial.value == pytest.approx(min(curve))


def test_a_trial_that_dies_between_its_pruning_and_the_record_stays_pruned(
    hydra, monkeypatch
) -> None:
    from resnet_lab.callbacks.interruption import Interruption

    fits = []

    def die(self: Interruption, trainer: Trainer, pl_module: object) -> None:
        fits.append(trainer.should_stop)
        if fits == [False, False, True]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Interruption, "on_fit_end", die)
    with pytest.raises(KeyboardInterrupt):
        hydra(*TINY, *HOPELESS)
    third = Path("sweep", record()["jobs"][2]["directory"])
    assert Run.load(third).status["state"] == "interrupted"
    epochs = Run.load(third).status["epochs"]
    hydra(*TINY, *HOPELESS)
    assert (Run.load(third).status["state"], Run.load(third).status["epochs"]) == ("pruned", epochs)
    assert states() == ["COMPLETE", "COMPLETE", "PRUNED"]


def test_a_trial_without_a_value_in_an_epoch_reports_none(hydra) -> None:
    hydra(
        *TINY, "optimizer.lr=0.1,0.2", "hydra.sweeper.pruner=median", "hydra.sweeper.n_trials=1",
        "trainer.max_epochs=5", "trainer.check_val_every_n_epoch=2",
    )  # fmt: skip
    (trial,) = trials()
    assert sorted(trial.intermediate_values) == [2, 4]
    (run,) = runs().values()
    assert trial.value == run.status["best"]["value"]


def test_a_trial_goes_on_without_its_study(hydra) -> None:
    hydra(*TINY, "optimizer.lr=0.1,0.2", "hydra.sweeper.pruner=median", "hydra.sweeper.n_trials=1")
    (run,) = runs().values()
    alone = run.directory.rename("alone")
    status = json.loads((alone / "status.json").read_text())
    (alone / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    train(Run.load(alone).config, alone)
    assert Run.load(alone).status["state"] == "done"
    assert not Path(STORAGE).exists()


def start(*overrides: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "resnet_lab.train", "-m", "hydra/sweeper=optuna", *TINY,
         "sweep_dir=sweep", *overrides],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip


def command(*overrides: str) -> tuple[int, str, str]:
    process = start(*overrides)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.slow
def test_a_pool_prunes_too() -> None:
    pool = ("hydra/launcher=local_pool", "hydra.launcher.workers=2")
    code, _, err = command(*HOPELESS, *pool, "hydra.sweeper.n_trials=2")  # what to compare with
    assert (code, err) == (0, "")
    code, out, err = command(*HOPELESS, *pool)
    assert (code, err) == (0, "")
    assert "3 trials: 2 done, 1 pruned" in out
    assert states() == ["COMPLETE", "COMPLETE", "PRUNED"]
    code, out, err = command(*HOPELESS, *pool)
    assert (code, err) == (0, "")
    assert "3 of 3 trials are done already" in out
    assert all(fits(run) == 1 for run in runs().values())


@pytest.mark.slow
def test_a_search_killed_for_real_goes_on() -> None:
    Path("kill.py").write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from lightning.pytorch import Callback\n"
        "class Kill(Callback):\n"
        "    def on_train_epoch_start(self, trainer, pl_module):\n"
        "        begun = len(list(Path('sweep').glob('*/status.json')))\n"
        "        if begun == 2 and trainer.current_epoch == 2 and not Path('killed').exists():\n"
        "            Path('killed').touch()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    space = (
        LR, "hydra.sweeper.pruner=median", "hydra.sweeper.n_trials=3", "trainer.max_epochs=4",
        "+callbacks.kill._target_=kill.Kill",
    )  # fmt: skip
    code, _, _ = command(*space)
    assert code == -signal.SIGKILL
    assert states() == ["COMPLETE", "RUNNING"]
    asked = [trial.params for trial in trials()]
    code, out, err = command(*space)
    assert (code, err) == (0, "")
    assert "1 of 3 trials are done already" in out
    assert [trial.params for trial in trials()][:2] == asked
    assert states() == ["COMPLETE"] * 3
    assert sorted(fits(run) for run in runs().values()) == [1, 1, 2]
    assert all(len(trial.intermediate_values) == 4 for trial in trials())
