"""Commands of sweeps that cannot be: one line, which names the way out, and nothing left behind."""

from pathlib import Path

import pytest

from tests.helpers import TINY, Command

# What a person gets wrong -> what the one line must say.
WRONG = {
    "empty range": (["seed=range(0)"], "seed=range(0): there is no value to try"),
    "empty glob": (["model=glob(zzz*)"], "model=glob(zzz*): there is no value to try"),
    "interval": (["optimizer.lr=interval(0.1,1)"], "hydra/sweeper=optuna"),
    "run_dir": (["run_dir=x", "seed=0,1"], "name its directory by sweep_dir"),
    "sweeps": (["sweep=degradation,shortcut"], "sweep=degradation,shortcut: one set of values"),
    "key": (["optimizer.lrr=0.1,0.2"], "optimizer.lrr: no such key; did you mean lr"),
    "new key": (["modell=a,b"], "modell: no such key; did you mean model"),
    "devices": (["trainer.devices=7", "seed=0,1"], "7 processes cannot share data.batch_size=32"),
    "subdir": (["hydra.sweep.subdir=x", "seed=0,1"], "hydra.sweep.subdir"),
    "workers": (
        ["hydra/launcher=local_pool", "hydra.launcher.workers=abc", "seed=0,1"],
        "hydra.launcher.workers=abc: must be an integer >= 1",
    ),
    "sampler's seed": (
        ["hydra/sweeper=optuna", "hydra.sweeper.seed=abc", "optimizer.lr=interval(0.1,1)"],
        "hydra.sweeper.seed=abc: must be an integer, or null",
    ),
    "searched name": (
        ["hydra/sweeper=optuna", "name=a,b"], "name cannot be searched: no result depends on it"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_sweep_that_cannot_be_is_refused_in_one_line(case: str, command: Command) -> None:
    overrides, told = WRONG[case]
    code, _, err = command("-m", *TINY, *overrides)
    assert code == 1
    assert told in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not list(Path().glob("*/*/*"))


def test_jobs_that_differ_in_nothing_that_matters_are_one_and_that_is_said(
    command: Command,
) -> None:
    code, out, err = command("-m", *TINY, "preflight=true", "name=a,b", "seed=0,1")
    assert (code, err) == (0, "")
    assert "2 of 4 jobs are run: the others differ only in name" in out
    assert "2 jobs can run" in out


def test_brackets_in_overrides_are_shown(command: Command) -> None:
    code, out, _ = command("-m", *TINY, "preflight=true", "augment=[],[erasing]")
    assert code == 0
    assert "augment=[erasing]" in out
