"""Sweeps and searches on a real Ray cluster of two nodes; a node is killed, and nothing is lost."""

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.helpers import LR, TINY, fits, record, result, states, trials, wait_until
from tests.helpers import runs_of as runs
from tests.helpers import start as start_process
from tests.ray.cluster import cluster

pytest.importorskip("ray", reason="make test-ray installs it")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]  # on a busy machine

# Training waits in the middle of its second epoch until there is a file `go`.
GATE = """
import time, os
from pathlib import Path
from lightning.pytorch import Callback

class Gate(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 2:
            Path(trainer.default_root_dir, f"reached.{os.getpid()}").touch()
            while not Path("go").exists():
                time.sleep(0.05)
"""
JOBS = (
    *TINY, "trainer.max_epochs=3", "sweep_dir=sweep", "+callbacks.gate._target_=gate.Gate",
)  # fmt: skip
GRID = ("optimizer.lr=0.1,0.05", "seed=0,1")
RAY = "hydra/launcher=ray"
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
    process = start_process("-m", *JOBS, *words, **{**environment, "PYTHONPATH": path})
    STARTED.append(process)
    return process


def reached() -> list[Path]:
    """The jobs that are in the middle of their second epoch: a file each, named by the process."""
    return list(Path("sweep").glob("*/reached.*"))


def wait_at_the_gate(parent: "subprocess.Popen[str]", count: int) -> None:
    def there() -> bool:
        assert parent.poll() is None, parent.communicate()
        return len(reached()) == count

    wait_until(there, 600)


def process_of(path: Path) -> psutil.Process:
    return psutil.Process(int(path.suffix[1:]))


def test_a_node_dies_and_its_jobs_resume_on_the_other(tmp_path_factory) -> None:
    with cluster(tmp_path_factory.mktemp("nodes"), nodes=2, cpus=2) as nodes:
        parent = start(nodes.environment, RAY, *GRID)
        wait_at_the_gate(parent, 4)
        node = psutil.Process(nodes.nodes[1].pid)
        below = {process.pid for process in node.children(recursive=True)}
        lost = {path.parent.name for path in reached() if process_of(path).pid in below}
        assert len(lost) == 2  # the jobs are spread
        nodes.kill(1)
        Path("go").touch()
        out, err = parent.communicate(timeout=600)
    assert (parent.returncode, err) == (0, "")
    assert out.count("started  ") == 4
    assert [entry["state"] for entry in record()["jobs"]] == ["done"] * 4
    found = runs()
    assert {name: fits(run) for name, run in found.items()} == {
        name: 2 if name in lost else 1 for name in found
    }
    assert len(reached()) == 4  # they saved there and went on behind it: no batch was trained twice
    disturbed = {name: result(run) for name, run in found.items()}
    Path("sweep").rename("disturbed")
    quiet = start({**os.environ}, *GRID)  # one after the other in one process
    _, err = quiet.communicate(timeout=600)
    assert (quiet.returncode, err) == (0, "")
    assert {name: result(run) for name, run in runs().items()} == disturbed


def test_ctrl_c_ends_the_jobs_of_a_cluster_that_was_begun_for_the_sweep(tmp_path: Path) -> None:
    environment = {**os.environ}
    environment.pop("RAY_ADDRESS", None)
    parent = start(environment, RAY, "seed=0")
    wait_at_the_gate(parent, 1)
    job = process_of(reached()[0])
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in psutil.Process(parent.pid).children(recursive=True)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    parent.send_signal(signal.SIGINT)
    log = reached()[0].with_name("train.log")
    wait_until(lambda: "stopping after this step" in log.read_text())
    Path("go").touch()
    _, err = parent.communicate(timeout=200)
    assert parent.returncode == 130
    assert "Traceback" not in err
    assert not job.is_running()
    assert [entry["state"] for entry in record()["jobs"]] == ["interrupted"]
    (run,) = runs().values()
    assert run.has_checkpoint("last")


def test_a_search_of_twelve_trials_four_at_once_is_killed_and_goes_on(tmp_path_factory) -> None:
    space = (
        "hydra/sweeper=optuna", LR, "hydra.sweeper.n_trials=12", "hydra.sweeper.pruner=halving",
    )  # fmt: skip
    with cluster(tmp_path_factory.mktemp("nodes"), nodes=2, cpus=2) as nodes:
        parent = start(nodes.environment, RAY, *space)
        wait_at_the_gate(parent, 4)
        asked = [trial.params for trial in trials()]
        assert states() == ["RUNNING"] * 4
        parent.kill()
        parent.communicate()
        early = reached()
        jobs = [process_of(path) for path in early]
        Path("go").touch()
        wait_until(lambda: not any(job.is_running() for job in jobs), 120)
        again = start(nodes.environment, RAY, *space)
        out, err = again.communicate(timeout=1200)
    assert (again.returncode, err) == (0, "")
    assert [trial.params for trial in trials()][:4] == asked
    counts = Counter(states())
    assert counts["COMPLETE"] + counts["PRUNED"] == len(runs()) == 12
    assert counts["COMPLETE"]
    assert {entry["state"] for entry in record()["jobs"]} <= {"done", "pruned"}
    begun_before = {job.parent.name for job in early}
    assert all(fits(run) == 1 + (name in begun_before) for name, run in runs().items())
    assert f"12 trials: {counts['COMPLETE']} done" in out
