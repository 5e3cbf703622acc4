"""The command that shows, cancels and retries a sweep."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from resnet_lab import sweep as sweep_command
from resnet_lab.sweeps.control import status
from tests.helpers import JOBS, Command, record, start, wait_until
from tests.helpers import runs_of as runs

STATES = ("done", "failed", "running", "running", "interrupted", "pending")


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def known() -> Path:
    """A sweep directory with a job of each state; the last one has no directory yet."""
    entries = []
    for number, state in enumerate(STATES):
        overrides, error = [f"seed={number}"], "it broke" if state == "failed" else None
        entries.append(
            {"directory": f"seed={number}", "overrides": overrides, "state": state, "error": error}
        )
        if state != "pending":
            told = {"state": state, "overrides": overrides, "epochs": 3, "error": error}
            write(Path("sweep", f"seed={number}", "status.json"), told)
    write(Path("sweep/sweep.json"), {"jobs": entries, "state": "running"})
    return Path("sweep")


def states(directory: Path) -> list[str]:
    return [state for _, state, _ in status(directory).jobs]


def test_status_tells_a_job_that_runs_from_one_whose_process_is_gone(known: Path, capsys) -> None:
    with FileLock(known / "seed=2/.lock"), FileLock(known / ".sweeping.lock"):
        sweep_command.main(["status", str(known)])
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines() if line.startswith("seed=")]
    assert [line[1] for line in lines] == [
        "done", "failed", "running", "stale", "interrupted", "pending",
    ]  # fmt: skip
    assert lines[1][-2:] == ["it", "broke"]
    assert "sweep is running; 6 jobs: 1 done, 1 failed, 1 running, 1 stale, 1 int" in out
    assert err == ""
    assert status(known).state == "stale: the process that ran it is gone"


@pytest.mark.parametrize("over", [True, False])
def test_status_tells_the_end_of_jobs_that_no_process_waits_for(over: bool, known: Path) -> None:
    write(known / "sweep.json", {**record(), "state": "submitted"})
    for job in known.iterdir() if over else ():
        if job.is_dir():
            write(job / "status.json", {"state": "done", "overrides": [job.name]})
    write(known / "seed=5/status.json", {"state": "done" if over else "pending"})
    assert status(known).state == ("done" if over else "submitted")


def commands(monkeypatch: pytest.MonkeyPatch, queue: str) -> Path:
    """Stand in for SLURM's commands: a queue in a file, which scancel empties."""
    waiting = Path("queue").absolute()
    waiting.write_text(queue)
    lines = {"squeue": f"cat {waiting}", "scancel": f'echo "$@" > {waiting}.ended; > {waiting}'}
    for name, line in lines.items():
        script = Path("bin", name)
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(Path("bin").absolute()), prepend=os.pathsep)
    return waiting


def test_status_and_cancel_ask_slurm_for_its_jobs(known: Path, monkeypatch, capsys) -> None:
    ids = {f"seed={number}": f"7_{number}" for number in range(len(STATES))}
    write(known / ".submitit/queued.json", ids)
    waiting = commands(monkeypatch, "7_3\n7_4\n8_0\n")
    assert states(known) == ["done", "failed", "stale", "running", "queued", "stale"]
    sweep_command.main(["cancel", str(known)])
    assert Path(f"{waiting}.ended").read_text().split() == ["7_3", "7_4"]
    assert "sweep is interrupted; " in capsys.readouterr().out
    assert states(known)[-2:] == ["interrupted", "pending"]


def test_cancel_where_squeue_is_not(known: Path, monkeypatch, capsys) -> None:
    write(known / ".submitit/queued.json", {"seed=5": "7_5"})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit):
        sweep_command.main(["cancel", str(known)])
    assert "squeue does not answer here" in capsys.readouterr().err


def test_cancel_leaves_a_process_of_another_machine(known: Path, capsys) -> None:
    write(known / "sweep.json", {**record(), "host": "elsewhere", "pid": os.getpid()})
    with FileLock(known / ".sweeping.lock"), pytest.raises(SystemExit):
        sweep_command.main(["cancel", str(known)])
    told = capsys.readouterr().err
    assert told == f"error: sweep is run by process {os.getpid()} on elsewhere: kill it there\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status", "logs"], "logs is no sweep"),
        (["cancel", "sweep", "seed=1"], "seed=1: cancel takes no overrides"),
        (["retry", "sweep", "--yes"], "sweep.json records no command"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], told: str, known: Path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        sweep_command.main(words)
    err = capsys.readouterr().err
    assert end.value.code == 1
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.slow  # Ctrl-C, which it sends, is tested in tests/sweeps/test_sweep.py
@pytest.mark.parametrize("pool", [False, True])
def test_cancel_ends_the_jobs_with_a_checkpoint(pool: bool, capsys) -> None:
    launcher = ["hydra/launcher=local_pool", "hydra.launcher.workers=2"] if pool else []
    process = start("-m", *JOBS, "seed=0,1,2,3", "trainer.max_epochs=500", *launcher)
    count = 2 if pool else 1

    def training() -> bool:
        found = runs().values() if Path("sweep").exists() else ()
        return sum(run.status.get("epochs", 0) > 0 for run in found) == count

    wait_until(training)
    assert states(Path("sweep")).count("running") == count
    sweep_command.main(["cancel", "sweep"])
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert "4 jobs: " in capsys.readouterr().out
    assert sorted(states(Path("sweep"))) == ["interrupted"] * count + ["pending"] * (4 - count)
    assert record()["state"] == "interrupted"
    begun = [run for run in runs().values() if run.status["state"] == "interrupted"]
    assert all(run.has_checkpoint("last") for run in begun)


# The second job fails as long as there is a file.
BAD = """
from pathlib import Path
from lightning.pytorch import Callback

class Bad(Callback):
    def __init__(self, seed):
        self.seed = seed

    def on_train_epoch_start(self, trainer, pl_module):
        if Path("bad").exists() and self.seed == 1:
            raise RuntimeError("it broke")
"""


def test_retry_runs_again_what_failed_once_a_person_agrees(
    command: Command, monkeypatch, tmp_path: Path, capsys
) -> None:
    Path("bad.py").write_text(BAD)
    Path("bad").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    before = signal.getsignal(signal.SIGTERM)
    bad = ("+callbacks.bad._target_=bad.Bad", "+callbacks.bad.seed=${seed}")
    code, _, _ = command("-m", *JOBS, "seed=0,1", "trainer.max_epochs=1", *bad)
    assert code == 1
    assert signal.getsignal(signal.SIGTERM) == before
    assert states(Path("sweep")) == ["done", "failed"]
    Path("bad").unlink()
    (stamp,) = [run.status["updated"] for run in runs().values() if run.done]

    with pytest.raises(SystemExit):  # nobody is there to ask
        sweep_command.main(["retry", "sweep"])
    out, err = capsys.readouterr()
    assert "seed=0,1 trainer.max_epochs=1" in out
    assert err == "error: retry: nobody is here to agree to that command; add --yes\n"

    became: list[str] = []  # this process goes on, and runs the command itself
    monkeypatch.setattr(os, "execv", lambda path, words: became.extend(words))
    sweep_command.main(["retry", "sweep", "--yes"])
    assert became[:3] == [sys.executable, "-m", "resnet_lab.train"]
    code, out, err = command(*became[3:])
    assert (code, err) == (0, "")
    assert "1 of 2 jobs are done already" in out
    assert states(Path("sweep")) == ["done", "done"]
    assert next(run for run in runs().values() if run.config.seed == 0).status["updated"] == stamp
