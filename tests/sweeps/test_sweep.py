"""Sweeps: killed, poisoned, topped up, on a pool; and what their records say."""

import os
import signal
import sys
from pathlib import Path

import pytest

from resnet_lab.core.threads import available_cores
from resnet_lab.runs.trained.run import Run
from tests.helpers import JOBS, TINY, Command, fits, record, result, start, wait_until
from tests.helpers import runs_of as runs

GRID = ("optimizer.lr=0.05,0.01", "seed=0,1")


@pytest.fixture
def sweep(command: Command) -> Command:
    """A function that runs a sweep in this process: exit code, stdout, stderr."""
    return lambda *overrides: command("-m", *JOBS, *overrides)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the undisturbed sweep is kept."""
    return tmp_path_factory.mktemp("kept") / "sweep"


@pytest.fixture
def undisturbed(kept: Path, sweep: Command) -> Path:
    """A 2 x 2 sweep that nothing happened to; the tests only read it."""
    if not kept.exists():
        code, _, err = sweep(*GRID)
        assert code == 0, err
        Path("sweep").rename(kept)
    return kept


def test_the_record_of_a_sweep(undisturbed: Path) -> None:
    found = record(str(undisturbed))
    assert found["state"] == "done"
    assert found["monitor"] == "val/acc"
    assert found["mode"] == "max"
    assert "-m" in found["command"]
    assert found["seconds"] > 0
    assert len(found["jobs"]) == 4
    for entry in found["jobs"]:
        run = Run.load(undisturbed / entry["directory"])
        assert entry["state"] == run.status["state"] == "done"
        assert entry["metric"] == run.status["best"]["value"]
        assert entry["test"] == run.status["test"]["acc"]
        assert entry["error"] is None
        assert run.status["overrides"] == entry["overrides"]
    keys = [{o for o in e["overrides"] if o.startswith(("seed", "opt"))} for e in found["jobs"]]
    assert {"optimizer.lr=0.01", "seed=1"} in keys


@pytest.mark.parametrize("pool", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_killed_sweep_goes_on_and_equals_an_undisturbed_one(
    pool: bool, undisturbed: Path, sweep: Command
) -> None:
    launcher = ["hydra/launcher=local_pool", "hydra.launcher.workers=2"] if pool else []
    process = start("-m", *JOBS, *GRID, *launcher)

    def half_way() -> bool:
        found = runs().values() if Path("sweep").exists() else ()
        states = [run.status.get("state") for run in found]
        return "done" in states and "running" in states

    wait_until(half_way)
    process.kill()
    process.communicate()
    done = {name: run for name, run in runs().items() if run.status.get("state") == "done"}
    assert 0 < len(done) < 4
    written = {
        name: (run.directory / "status.json").stat().st_mtime_ns for name, run in done.items()
    }
    if pool:  # the jobs end by themselves when they notice
        wait_until(lambda: not any(_in_use(run) for run in runs().values()))
        done = {name: run for name, run in runs().items() if run.done}

    code, out, err = sweep(*GRID, *launcher)
    assert code == 0, err
    assert f"{len(done)} of 4 jobs are done already" in out
    found = runs()
    assert len(found) == 4
    assert [entry["state"] for entry in record()["jobs"]] == ["done"] * 4
    for name, run in found.items():
        assert result(run) == result(Run.load(undisturbed / name)), name
        assert fits(run) <= 2
    for name, stamp in written.items():  # what was done was not trained again
        assert (found[name].directory / "status.json").stat().st_mtime_ns == stamp


def _in_use(run: Run) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(run.directory / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def test_more_values_top_a_sweep_up(undisturbed: Path, sweep: Command) -> None:
    import shutil

    shutil.copytree(undisturbed, "sweep")
    before = {name: run.status["updated"] for name, run in runs().items()}
    code, _, err = sweep("optimizer.lr=0.05,0.01", "seed=0,1,2")
    assert code == 0, err
    found = runs()
    assert len(found) == len(record()["jobs"]) == 6
    assert all(found[name].status["updated"] == stamp for name, stamp in before.items())


# What happens to the second of three jobs -> what its record must say.
POISON = {
    "nan": ("raise ValueError('val/loss is nan in epoch 0')", "val/loss is nan"),
    "crash": ("raise AssertionError('the network is on fire')", "the network is on fire"),
    "memory": ("import torch; raise torch.OutOfMemoryError('CUDA out of memory')", "out of memory"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
}


@pytest.mark.parametrize(
    "how", ["nan", *(pytest.param(how, marks=pytest.mark.slow) for how in POISON if how != "nan")]
)
def test_a_poisoned_job_leaves_the_others_and_is_reported(
    how: str, sweep: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action, told = POISON[how]
    Path("poison.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Poison(Callback):\n"
        "    def __init__(self, seed): self.seed = seed\n"
        "    def on_train_epoch_start(self, trainer, pl_module):\n"
        f"        if self.seed == 1:\n            {action}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "poison", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    pool = ("hydra/launcher=local_pool", "hydra.launcher.workers=1") if how == "killed" else ()
    code, _, err = sweep(
        "seed=0,1,2", "+callbacks.poison._target_=poison.Poison", "+callbacks.poison.seed=${seed}",
        *pool,
    )  # fmt: skip
    assert code == 1
    assert told in err
    assert "1 of 3 jobs failed" in err.splitlines()[-1]
    states = [(entry["state"], entry["error"]) for entry in record()["jobs"]]
    assert [state for state, _ in states] == ["done", "failed", "done"]
    assert told in states[1][1]
    assert record()["state"] == "failed"


def test_two_jobs_on_a_pool_of_two(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    code, out, err = sweep(
        "seed=0,1", "trainer.max_epochs=1",
        "hydra/launcher=local_pool", "hydra.launcher.workers=2",
    )  # fmt: skip
    assert code == 0, err
    assert out.count("started  seed=") == 2
    found = runs()
    assert len(found) == 2
    assert all(run.done and fits(run) == 1 for run in found.values())
    share = max(1, available_cores() // 2)
    assert all(run.status["threads"] <= share for run in found.values())


@pytest.mark.slow
def test_eight_jobs_on_a_pool_of_two(sweep: Command) -> None:
    code, out, err = sweep(
        "seed=range(8)", "trainer.max_epochs=1",
        "hydra/launcher=local_pool", "hydra.launcher.workers=2",
    )  # fmt: skip
    assert code == 0, err
    assert out.count("started  seed=") == 8
    found = runs()
    assert len(found) == 8
    assert all(run.done and fits(run) == 1 for run in found.values())
    spans = []
    for run in found.values():
        began = min(_stamps(run))
        spans.append((began, max(_stamps(run))))
    at_once = [sum(a <= begin < b for a, b in spans) for begin, _ in spans]
    assert max(at_once) <= 2


def _stamps(run: Run) -> list[str]:
    lines = (run.directory / "train.log").read_text().splitlines()
    return [line[:23] for line in lines if line[:2] == "20"]


@pytest.mark.parametrize("pool", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_saves_marks_and_stops_the_sweep(pool: bool) -> None:
    launcher = ["hydra/launcher=local_pool", "hydra.launcher.workers=2"] if pool else []
    process = start("-m", *JOBS, "seed=0,1,2,3", "trainer.max_epochs=500", *launcher)

    def training() -> bool:
        found = runs().values() if Path("sweep").exists() else ()
        return sum(run.status.get("epochs", 0) > 0 for run in found) == (2 if pool else 1)

    wait_until(training)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    found = record()
    assert found["state"] == "interrupted"
    states = [entry["state"] for entry in found["jobs"]]
    assert set(states) == {"interrupted", "pending"}
    assert states.count("interrupted") == (2 if pool else 1)
    for run in runs().values():
        if run.status["state"] == "interrupted":
            assert run.has_checkpoint("last")
    assert "Traceback" not in err


def test_a_typo_in_a_late_job_is_found_before_the_first_one_starts(sweep: Command) -> None:
    code, _, err = sweep("model.depth=8,14,21")
    assert code == 1
    assert "job 3 of 3 (model.depth=21): " in err
    assert "nothing was started" in err
    assert err.count("\n") == 1
    assert not Path("sweep").exists()


def test_preflight_shows_the_jobs_and_starts_nothing(sweep: Command) -> None:
    code, out, err = sweep("model.depth=8,14", "preflight=true")
    assert (code, err) == (0, "")
    assert "75,002" in out  # parameters of the first
    assert "2 jobs can run" in out
    assert not Path("sweep").exists()


def test_preflight_of_one_run(command: Command) -> None:
    code, out, err = command(*TINY, "preflight=true", "run_dir=one")
    assert (code, err) == (0, "")
    assert "75,002 parameters" in out
    assert not Path("one").exists()


def test_a_directory_of_something_else_is_left_alone(sweep: Command) -> None:
    Path("sweep/thesis").mkdir(parents=True)
    code, _, err = sweep("seed=0,1")
    assert code == 1
    assert "sweep is no sweep directory, and not empty (thesis is there)" in err
    assert sorted(path.name for path in Path("sweep").iterdir()) == ["thesis"]


def test_jobs_of_other_names_share_the_sweeps_directory(sweep: Command) -> None:
    code, _, err = sweep("model.depth=8,14", "trainer.max_epochs=1", "sweep_dir=null")
    assert code == 0, err
    (directory,) = Path("logs/sweeps").iterdir()
    assert len(runs(str(directory))) == 2


@pytest.mark.parametrize("pool", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_limit_on_failures_starts_no_further_job_and_the_sweep_resumes(
    pool: bool, sweep: Command
) -> None:
    launcher = ["hydra/launcher=local_pool", "hydra.launcher.workers=1"] if pool else []
    jobs = ("optimizer.lr=0.05,1e30", "seed=0,1", *launcher)
    code, _, err = sweep(*jobs, "hydra.sweeper.max_failures=1")
    assert code == 1
    assert "1 of 4 jobs failed and 1 were not started (hydra.sweeper.max_failures)" in err
    states = {entry["directory"]: entry["state"] for entry in record()["jobs"]}
    assert list(states.values()) == ["done", "done", "failed", "pending"]
    assert record()["state"] == "interrupted"
    code, _, err = sweep(*jobs)
    assert "2 of 4 jobs failed; " in err
    assert record()["state"] == "failed"


def test_zipped_values_and_a_list_of_jobs_are_run(sweep: Command) -> None:
    Path("jobs.yaml").write_text("- {scheduler: none}\n- {scheduler: cosine}\n")
    code, _, err = sweep(
        "trainer.max_epochs=1,2", "seed=0,1", "hydra.sweeper.zip=[trainer.max_epochs,seed]",
        "hydra.sweeper.jobs=jobs.yaml", "hydra.sweeper.dirname=short",
    )  # fmt: skip
    assert (code, err) == (0, "")
    epochs = {name: run.status["epochs"] for name, run in runs().items()}
    assert sorted(epochs.values()) == [1, 1, 2, 2]
    assert all(name.startswith("depth=8,scheduler=") for name in epochs)
    assert all(run.config.seed == run.status["epochs"] - 1 for run in runs().values())
