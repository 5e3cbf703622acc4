"""Two processes to one run, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.hydra_config import HydraConfig

from resnet_lab.active_run import ActiveRun
from resnet_lab.distributed import LAUNCH_VARIABLES, further_processes, leads
from tests.conftest import TINY


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_only_the_first_process_leads(name: str, monkeypatch) -> None:
    assert leads()
    monkeypatch.setenv(name, "0")
    assert leads()
    monkeypatch.setenv(name, "1")
    assert not leads()


def test_a_further_process_reads_the_run_and_writes_nothing(tiny, tmp_path, monkeypatch) -> None:
    ActiveRun.open(tmp_path / "run", tiny()).close()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    monkeypatch.setenv("LOCAL_RANK", "1")
    with ActiveRun.open(tmp_path / "run", tiny("seed=5")) as run:
        assert run.config.seed == 0
        run.update(epochs=99)
        run.finish(None)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_launch_leaves_nothing_behind(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=0,1"])
    with further_processes(tmp_path):
        assert sys.argv == ["train.py", "--resume", str(tmp_path)]
        assert not HydraConfig.initialized()
        os.environ.update(dict.fromkeys(LAUNCH_VARIABLES, "0"))
    assert sys.argv == ["train.py", "-m", "seed=0,1"]
    assert not set(LAUNCH_VARIABLES) & set(os.environ)


def test_what_a_cluster_set_stays(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with further_processes(tmp_path):
        pass
    assert os.environ["WORLD_SIZE"] == "4"


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_two_processes_train_every_job_of_a_sweep_once(tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable, "-m", "resnet_lab.train", "-m", "trainer=ddp", *TINY,
            "trainer.max_epochs=1", "optimizer.lr=0.1,0.01",
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (sweep,) = (tmp_path / "logs/sweeps").iterdir()
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert len(jobs) == 2
    for job in jobs:
        status = json.loads((job / "status.json").read_text())
        assert status["state"] == "done"
        assert status["test"]["images"] == 360  # of both processes together
        assert len(list(job.glob("checkpoints/*"))) == 2
    assert not (tmp_path / "logs/runs").exists()
