"""Two processes to one run, on the CPU."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.hydra_config import HydraConfig

from resnet_lab.core.processes import (
    LAUNCH_VARIABLES,
    check_restarts,
    further_processes,
    leads,
    wait_for_threads,
)
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from tests.helpers import TINY, Command


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
    with ActiveRun.open(tmp_path / "run", tiny("seed=null")) as run:
        assert run.config.seed == 0
        run.update(epochs=99)
        run.finish(None)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_launch_leaves_nothing_behind(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=0,1"])
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    with further_processes(tmp_path, threads=3):
        assert os.environ["OMP_NUM_THREADS"] == "3"
        assert sys.argv == ["train.py", "--resume", str(tmp_path)]
        assert not HydraConfig.initialized()
        os.environ.update(dict.fromkeys(LAUNCH_VARIABLES, "0"))
    assert sys.argv == ["train.py", "-m", "seed=0,1"]
    assert not set(LAUNCH_VARIABLES) & set(os.environ)
    assert os.environ["OMP_NUM_THREADS"] == "8"


def test_what_a_cluster_set_stays(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with further_processes(tmp_path, threads=1):
        pass
    assert os.environ["WORLD_SIZE"] == "4"


class Failure(Exception):
    pass


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
@pytest.mark.parametrize("how", [None, Failure, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("starter", ["lightning", "torchrun", "srun"])
def test_no_process_group_outlives_its_run(how, starter, tmp_path, monkeypatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        if starter == "torchrun":
            monkeypatch.setenv(name, {"WORLD_SIZE": "1"}.get(name, "0"))
    if starter == "srun":
        monkeypatch.setenv("SLURM_PROCID", "0")
    expected = pytest.raises(how) if how else contextlib.nullcontext()
    with expected, further_processes(tmp_path, threads=1):
        if starter == "lightning":
            os.environ["LOCAL_RANK"] = "0"
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
        )
        if how:
            raise how
    assert not torch.distributed.is_initialized()


def test_a_further_process_uses_as_many_threads_as_the_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the first process of the run has failed"):
        wait_for_threads(tmp_path, seconds=0)
    (tmp_path / "status.json").write_text('{"threads": 3}')
    assert wait_for_threads(tmp_path) == 3


def python(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def trained(directory: str) -> dict:
    """What a finished run of two processes came to, and the names in its last checkpoint."""
    status = json.loads(Path(directory, "status.json").read_text())
    assert status["state"] == "done"
    state = torch.load(Path(directory, "checkpoints/last.ckpt"), weights_only=True)["state_dict"]
    return {**status["test"], "best": status["best"]["value"], "shapes": {
        name: value.shape for name, value in state.items()
    }}  # fmt: skip


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
@pytest.mark.parametrize(
    "strategies", [["ddp"], pytest.param(["ddp", "fsdp"], marks=pytest.mark.slow)], ids=",".join
)
def test_two_processes_train_every_job_of_a_sweep_once_and_shared_weights_learn_the_same(
    strategies: list[str],
) -> None:
    result = python(
        "-m", "resnet_lab.train", "-m", *TINY, f"trainer={','.join(strategies)}", "sweep_dir=sweep",
        "trainer.limit_train_batches=11", "trainer.max_epochs=1",
        "callbacks.summary={_target_: resnet_lab.callbacks.summary.ModelSummary}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    jobs = sorted(path for path in Path("sweep").iterdir() if path.is_dir())
    assert [path.name.rpartition("=")[2] for path in jobs] == strategies
    first, *_, last = found = [trained(str(job)) for job in (jobs[0], *jobs)]
    assert all(each["images"] == 360 for each in found)  # of both processes together
    assert last["shapes"] == first["shapes"]
    assert last["loss"] == pytest.approx(first["loss"], rel=1e-3)
    assert all(len(list(job.glob("checkpoints/*"))) == 2 for job in jobs)
    assert evaluate(Run.load(jobs[-1]))["acc"] == pytest.approx(last["acc"])
    assert not Path("logs").exists()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_a_process_without_images_in_the_last_batch() -> None:
    result = python(
        "-m", "resnet_lab.train", *TINY, "trainer=ddp", "run_dir=run", "data.val_size=129",
        "trainer.max_epochs=1",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    best = json.loads(Path("run/status.json").read_text())["best"]
    run = Run.load("run")
    alone = evaluate(run, "val", "best")
    assert alone["images"] == 129
    assert best["metrics"]["val/loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert best["value"] == pytest.approx(alone["acc"])


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_torchrun_starts_the_processes_of_one_run() -> None:
    launch = (
        "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
        "-m", "resnet_lab.train", *TINY, "trainer=ddp", "trainer.max_epochs=1",
        "run_dir=run",
    )  # fmt: skip
    result = python(*launch)
    assert result.returncode == 0, result.stderr
    assert trained("run")["images"] == 360
    assert not Path("logs").exists()


def test_processes_that_torchrun_starts_need_the_directory_of_their_run(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = command(*TINY, "trainer=ddp")
    assert code == 1
    assert err == "error: torchrun and srun start several processes of one run: say run_dir=...\n"
    assert not Path("logs").exists()


@pytest.mark.parametrize("share", ["True", "False"])
def test_restarts_by_torchrun_need_a_store_of_their_own(share, monkeypatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", share)
    check_restarts()
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    refused = pytest.raises(ValueError, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1")
    with refused if share == "True" else contextlib.nullcontext():
        check_restarts()


STOP = """
from pathlib import Path
from lightning.pytorch import Callback


class Stop(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1 and not Path("resumed").exists():
            raise KeyboardInterrupt
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
@pytest.mark.parametrize(
    "options",
    [
        ("trainer=fsdp",),
        ("trainer=ddp", "callbacks=ema", "callbacks.ema.decay=0.5"),
        ("trainer=ddp", "callbacks=swa", "callbacks.swa.start=0.5"),
        ("trainer=ddp", "augment=mixup"),
    ],
    ids=["fsdp", "ema", "swa", "mixup"],
)
def test_a_distributed_run_resumes_to_the_same_weights(options) -> None:
    Path("stop.py").write_text(STOP)
    given = (*options, *TINY, "trainer.max_epochs=3", "+callbacks.stop._target_=stop.Stop")
    interrupted = python("-m", "resnet_lab.train", *given, "run_dir=resumed_run")
    assert interrupted.returncode == 130, interrupted.stderr
    assert json.loads(Path("resumed_run/status.json").read_text())["state"] == "interrupted"
    Path("resumed").touch()
    for arguments in (("--resume", "resumed_run", "--trust"), (*given, "run_dir=whole")):
        result = python("-m", "resnet_lab.train", *arguments)
        assert result.returncode == 0, result.stderr
    assert trained("resumed_run") == trained("whole")
    resumed, whole = (
        torch.load(Path(run, "checkpoints/last.ckpt"), weights_only=True)["state_dict"]
        for run in ("resumed_run", "whole")
    )
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
