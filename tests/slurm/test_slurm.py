"""Sweeps on a real cluster of this machine: disturbed, and equal to undisturbed ones."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.control import cancel, command_again, status
from tests.helpers import TINY, Command, fits, record, result, trials, wait_until
from tests.helpers import runs_of as runs
from tests.helpers import start as start_process
from tests.slurm.conftest import Told

pytestmark = pytest.mark.slurm

# Training waits in the middle of an epoch until the test has done to it what it wants.
GATE = """
import time, os
from pathlib import Path
from lightning.pytorch import Callback

class Gate(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        reached = Path(trainer.default_root_dir, f"reached.{trainer.global_rank}")
        if trainer.current_epoch == 1 and batch_idx == 2 and not reached.exists():
            reached.write_text(str(os.getpid()))
            while not (Path("go").exists() or reached.with_name("go").exists()):
                time.sleep(0.05)
"""
JOBS = (
    *TINY, "trainer.limit_train_batches=12", "trainer.max_epochs=3",
    "+callbacks.gate._target_=gate.Gate",
)  # fmt: skip


GRID = ("optimizer.lr=0.1,0.05", "seed=0,1")
STARTED: list["subprocess.Popen[str]"] = []


@pytest.fixture(autouse=True)
def gate() -> Iterator[None]:
    Path("gate.py").write_text(GATE)
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def start(environment: dict[str, str], *words: str) -> "subprocess.Popen[str]":
    path = f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}"
    sweep = [word for word in words if word == "-m"]  # comes first
    environment = {**environment, "PYTHONPATH": path, "RESNET_LAB_LOGS": "logs"}
    process = start_process(*sweep, *JOBS, *words[len(sweep) :], **environment)
    STARTED.append(process)
    return process


@pytest.fixture
def run(command: Command, environment: dict[str, str], monkeypatch) -> Command:
    """A function that trains or submits in this process, which saves the imports of another."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()), prepend=os.pathsep)
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "gate", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        sweep = [word for word in words if word == "-m"]  # comes first
        return command(*sweep, *JOBS, *words[len(sweep) :])

    return run


def ids() -> dict[str, str]:
    """The id in the queue of each job of the sweep, by its directory."""
    return json.loads(Path("sweep/.submitit/queued.json").read_text())


def wait_at_the_gate(count: int, parent: "subprocess.Popen[str] | None" = None) -> None:
    """Wait until so many processes are in the middle of their second epoch."""

    def there() -> bool:
        assert parent is None or parent.poll() is None, parent.communicate()
        return len(list(Path("sweep").glob("*/reached.*"))) == count

    wait_until(there, 180)


def asked(directory: str) -> bool:
    """Whether the job knows that it is to end."""
    return "stopping after this step" in Path("sweep", directory, "train.log").read_text()


def begin_again(slurm, number: str) -> None:
    """Spare a job that has been requeued the two minutes for which SLURM lets it wait."""

    def begun() -> bool:
        told = slurm("scontrol", "show", "job", number)
        if "Restarts=1" in told and "JobState=PENDING" in told:
            slurm("scontrol", "update", f"JobId={number}", "StartTime=now", check=False)
        return "Restarts=1" in told and "JobState=RUNNING" in told

    wait_until(begun, 100)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the undisturbed runs are kept."""
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def undisturbed(kept: Path, run: Command, environment, monkeypatch) -> dict[str, tuple]:
    """What the jobs of the grid come to here, and a run of two processes."""
    with monkeypatch.context() as patch:
        patch.chdir(kept)
        if not Path("go").exists():
            Path("gate.py").write_text(GATE)
            Path("go").touch()
            two = start(environment, "trainer=ddp", "run_dir=sweep/two")
            code, _, err = run("-m", *GRID, "sweep_dir=grid")
            assert code == 0, err
            _, err = two.communicate(timeout=300)
            assert two.returncode == 0, err
        return {**results(), **results("grid")}


def results(directory: str = "sweep") -> dict[str, tuple]:
    return {name: result(run) for name, run in runs(directory).items()}


def test_jobs_are_requeued_warned_cancelled_and_killed(
    environment, slurm, run, undisturbed
) -> None:
    command = ("-m", "hydra/launcher=slurm", *GRID, "sweep_dir=sweep")
    parent = start(environment, *command)
    wait_at_the_gate(4, parent)
    requeued, warned, cancelled, killed = ids()
    assert len({number.partition("_")[0] for number in ids().values()}) == 1  # one array
    slurm("scontrol", "requeue", ids()[requeued])
    slurm("scancel", "--signal=USR2", ids()[warned])  # as when its time is nearly up
    slurm("scancel", ids()[cancelled])
    os.kill(int(Path("sweep", killed, "reached.0").read_text()), signal.SIGKILL)
    wait_until(lambda: all(asked(job) for job in (requeued, warned, cancelled)))
    Path("go").touch()
    begin_again(slurm, ids()[requeued])
    begin_again(slurm, ids()[warned])
    _, err = parent.communicate(timeout=180)

    assert parent.returncode == 1
    assert "2 of 4 jobs failed; the same command with sweep_dir=sweep" in err
    states = {entry["directory"]: entry for entry in record()["jobs"]}
    assert states[requeued]["state"] == states[warned]["state"] == "done"
    assert states[cancelled]["state"] == "interrupted"
    assert states[killed]["state"] == Run.load(f"sweep/{killed}").status["state"] == "failed"
    assert f"SLURM's job {ids()[killed]} ended: srun: error: " in states[killed]["error"]

    code, out, err = run(*command)
    assert code == 0, err
    assert "2 of 4 jobs are done already" in out
    assert {name: fits(run) for name, run in runs().items()} == dict.fromkeys(states, 2)
    assert all(run.directory.parent == Path("sweep").resolve() for run in runs().values())
    assert not Path("logs").exists()
    assert results() == {name: undisturbed[name] for name in states}


def test_jobs_go_on_without_the_command_that_began_them(
    environment, slurm, run, undisturbed
) -> None:
    command = (
        "-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=2", "optimizer.lr=0.1",
        "seed=0,1", "sweep_dir=sweep",
    )  # fmt: skip
    parent = start(environment, *command)
    wait_at_the_gate(2, parent)
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 130
    array = next(iter(ids().values())).partition("_")[0]
    assert f"to end them: scancel {array}" in err
    assert record()["state"] == "interrupted"

    slurm("sbatch", "-p", "urgent", "-N2", "-n2", "-c2", "-o", "/dev/null", "--wrap", "true")
    wait_until(lambda: all(asked(job) for job in ids()))  # their places are wanted
    Path("go").touch()
    with ThreadPoolExecutor(2) as pool:

        def begin(number: str) -> None:
            wait_until(lambda: record()["state"] == "running")
            begin_again(slurm, number)

        begun = [pool.submit(begin, number) for number in ids().values()]
        code, out, err = run(*command)
    assert [each.result() for each in begun] == [None, None]
    assert code == 0, err
    assert "2 jobs are in the queue already" in out
    assert {fits(run) for run in runs().values()} == {2}
    assert results() == {name: undisturbed[name] for name in ids()}


def submit_two(nodes: int, tasks: int, slurm: Told, run: Command) -> str:
    """Submit a job of two processes, and return its id once they train."""
    code, out, err = run(
        "-m", "hydra/launcher=slurm", "hydra.launcher.wait=false", "seed=0", "sweep_dir=sweep",
        "trainer=ddp", f"trainer.num_nodes={nodes}", f"trainer.devices={tasks}",
        "hydra.launcher.setup=['export MASTER_ADDR=127.0.0.1']",  # these nodes have no address
    )  # fmt: skip
    assert code == 0, err
    assert "the jobs run without this process: resnet-sweep status sweep" in out
    wait_at_the_gate(2)
    (number,) = ids().values()
    return number


def ends_like(expected: tuple) -> None:
    """Wait until the job of a sweep that nobody waits for is done, and compare its results."""
    assert status(Path("sweep")).state == "submitted"
    wait_until(lambda: status(Path("sweep")).state != "submitted", 180)
    assert status(Path("sweep")).state == "done"
    (found,) = runs().values()
    assert fits(found) == 2
    assert {path.name for path in Path().iterdir()} - {"__pycache__"} == {"gate.py", "go", "sweep"}
    assert result(found) == expected


def test_two_tasks_of_a_node_train_one_network(slurm, run, undisturbed) -> None:
    number = submit_two(1, 2, slurm, run)
    slurm("scancel", "--signal=USR2", number)
    wait_until(lambda: all(asked(job) for job in ids()))
    Path("go").touch()
    begin_again(slurm, number)
    ends_like(undisturbed["two"])


def test_a_job_of_two_nodes_resumes_when_one_is_lost(slurm, run, undisturbed) -> None:
    number = submit_two(2, 1, slurm, run)
    slurm("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=lost")
    os.kill(int(next(Path("sweep").glob("*/reached.1")).read_text()), signal.SIGKILL)
    Path("go").touch()
    slurm("scontrol", "update", "NodeName=n2", "State=RESUME")
    begin_again(slurm, number)
    ends_like(undisturbed["two"])


def test_submitted_jobs_are_seen_ended_and_retried_from_elsewhere(
    slurm, run, command, undisturbed
) -> None:
    code, _, err = run(
        "-m", "hydra/launcher=slurm", "hydra.launcher.wait=false", "optimizer.lr=0.1", "seed=0,1",
        "hydra.launcher.array_parallelism=1", "sweep_dir=sweep",
    )  # fmt: skip
    assert code == 0, err
    sweep = Path("sweep")

    def states() -> list[str]:
        return [state for _, state, _ in status(sweep).jobs]

    wait_at_the_gate(1)
    assert states() == ["running", "queued"]  # one at a time
    first, second = ids()
    os.kill(int((sweep / first / "reached.0").read_text()), signal.SIGKILL)
    wait_until(lambda: states()[0] != "running")
    assert states()[0] == "stale"  # it could not say how it ended
    wait_until((sweep / second / "reached.0").exists, 100)
    Path("go").touch()
    cancel(sweep)
    assert states() == ["stale", "interrupted"]
    assert record()["state"] == "interrupted"

    code, _, err = command(
        *command_again(sweep, ["hydra.launcher.wait=true", "hydra.launcher.array_parallelism=2"])
    )
    assert code == 0, err
    assert states() == ["done", "done"]
    assert results() == {name: undisturbed[name] for name in (first, second)}


def test_a_trial_starts_when_another_ends_and_a_killed_search_finds_its_trials(
    environment, slurm, run
) -> None:
    command = (
        "-m", "hydra/launcher=slurm", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4",
        "hydra.sweeper.n_jobs=2", "optimizer.lr=interval(0.01,0.1)", "sweep_dir=sweep",
    )  # fmt: skip
    search = start(environment, *command)
    wait_at_the_gate(2, search)
    first, second = ids()
    Path("sweep", first, "go").touch()
    wait_at_the_gate(3, search)  # the second one still runs
    assert Run.load(f"sweep/{first}").done
    third = next(name for name in ids() if name not in (first, second))
    search.kill()
    search.communicate()
    Path("go").touch()

    code, out, err = run(*command)
    assert code == 0, err
    assert "1 of 4 trials are done already" in out
    assert "4 trials: 4 done" in out
    assert [trial.state.name for trial in trials()] == ["COMPLETE"] * 4
    assert {first, second, third} < runs().keys()
    assert [fits(each) for each in runs().values()] == [1] * 4


def test_gpus_are_asked_for_where_there_are_some(slurm, run) -> None:
    code, _, err = run(
        "-m", "hydra/launcher=slurm", "trainer.accelerator=auto", "seed=0", "sweep_dir=sweep",
        "hydra.launcher.partition=gpus", "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.wait=false",
    )  # fmt: skip
    assert code == 0, err
    (script,) = Path("sweep/.submitit").glob("*/*.sh")
    assert "--gpus-per-node=1" in script.read_text()


def test_a_job_that_srun_refuses_has_failed(slurm, run, monkeypatch) -> None:
    monkeypatch.setattr("resnet_lab.sweeps.launchers.slurm_watch.QUEUE_POLL", 1.0)
    code, _, err = run(
        "-m", "hydra/launcher=slurm", "seed=0", "sweep_dir=sweep",
        "hydra.launcher.srun_args=['--container-image=ubuntu']",  # there is no plugin for it here
    )  # fmt: skip
    assert code == 1
    assert "1 of 1 jobs failed" in err
    (entry,) = record()["jobs"]
    assert entry["state"] == "failed"
    assert (
        "srun: unrecognized option '--container-image"
        in Path(
            "sweep/.submitit", entry["error"].split()[2], f"{entry['error'].split()[2]}_0_log.err"
        ).read_text()
    )


def test_what_slurm_refuses_is_one_line(slurm, run) -> None:
    code, _, err = run("-m", "hydra/launcher=slurm", "seed=0", "hydra.launcher.partition=none")
    assert code == 1
    assert err.count("\n") == 1
    assert "hydra/launcher=slurm: sbatch: error: " in err
    assert "invalid partition" in err


def test_without_slurm_it_is_one_line(run, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    code, _, err = run("-m", "hydra/launcher=slurm", "seed=0")
    assert code == 1
    assert err == (
        "error: hydra/launcher=slurm: squeue does not answer; is this a SLURM cluster?\n"
    )
