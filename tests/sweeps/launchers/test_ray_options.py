"""The process of a job on a node of Ray's, and what is refused; Ray itself is not needed."""

import os
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from hydra_plugins.resnet_lab.ray import Ray
from resnet_lab.sweeps.launchers import job_process
from resnet_lab.sweeps.launchers.job_process import run_on_node
from resnet_lab.sweeps.launchers.ray_cluster import connected
from tests.helpers import command_of


@pytest.fixture
def place(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    return run


def test_the_process_of_a_job_on_a_node(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os; print(os.getcwd(), os.environ['RESNET_LAB_PARENT']); raise SystemExit(3)"
    monkeypatch.setattr(job_process, "command", command_of(code))
    why, printed = run_on_node(str(place), str(place))
    assert printed == f"{place} {os.getpid()}\n"
    assert why == f"ended with exit code 3: {printed.strip()}"


def test_a_node_that_does_not_see_the_run_directory_refuses_it(tmp_path: Path) -> None:
    why, printed = run_on_node(str(tmp_path / "elsewhere"), str(tmp_path))
    assert f" does not see {tmp_path / 'elsewhere'}: name a sweep_dir that all nodes share" in why
    assert printed == ""


def test_a_job_waits_for_the_process_of_an_earlier_try(place: Path) -> None:
    with FileLock(place / ".lock"):
        why, _ = run_on_node(str(place), str(place), patience=0.1)
    assert why == "another process trains there still, 0 s after this began"


def test_a_cancelled_job_saves_and_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import pathlib, signal, sys, time
run = pathlib.Path(sys.argv[1])
def save(*_):
    (run / "saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
(run / "ready").touch()
time.sleep(100)
"""

    def cancelled(seconds: float) -> None:
        if (place / "ready").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(job_process, "command", command_of(code))
    monkeypatch.setattr(job_process.time, "sleep", cancelled)
    with pytest.raises(KeyboardInterrupt):
        run_on_node(str(place), str(place))
    assert (place / "saved").exists()


GIVEN = {
    "address": None, "num_cpus": 1, "num_gpus": "auto", "max_retries": 3, "runtime_env": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"num_cpus": 0}, r"^hydra.launcher.num_cpus=0: must be a number > 0$"),
        ({"num_gpus": "one"}, r"num_gpus=one: must be auto or a number >= 0$"),
        ({"max_retries": -1}, r"max_retries=-1: must be an integer >= 0$"),
    ],
)
def test_wrong_options_of_ray(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Ray(**{**GIVEN, **wrong})


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_plugins.resnet_lab.ray.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'^hydra/launcher=ray: ray is not.*-e "\.\[ray\]"$'):
        Ray(**GIVEN)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("head", "^hydra.launcher.address=head: must be host:port, auto, or null$"),
        ("127.0.0.1:1", "no Ray cluster answers there .*: ray start --head --port 1$"),
    ],
)
def test_an_address_without_a_cluster(
    address: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # restored afterwards
    with pytest.raises(ValueError, match=told), connected(address, None):
        raise AssertionError
