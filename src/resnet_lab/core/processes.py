"""Helpers for distributed runs."""

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from resnet_lab.core.threads import VARIABLE

# What Lightning's launcher leaves in the environment of the process that started the others.
LAUNCH_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GLOBAL_RANK", "RANK",
)  # fmt: skip


PARENT = "RESNET_LAB_PARENT"  # process that a job of a pool must not outlive


def exit_with_parent() -> None:
    """Send this process SIGTERM when the process that `PARENT` names is gone."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM do within this context what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leads() -> bool:
    """Whether this process is rank zero of its run, or the only one."""
    return not any(
        int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    )


def launched_together() -> bool:
    """Whether torchrun, or srun, started this command several times at once."""
    by = "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_STEP_NUM_TASKS"
    return int(os.environ.get(by, "1")) > 1


def check_share(batch_size: int, processes: int) -> None:
    """Raise a ValueError unless the batch size is a multiple of the number of processes."""
    if batch_size % processes:
        raise ValueError(
            f"trainer.devices x trainer.num_nodes: {processes} processes cannot share "
            f"data.batch_size={batch_size}: use a multiple of that"
        )


def check_nodes(count: object) -> None:
    """Raise a ValueError for several machines without an address: the run would wait for ever."""
    together = ("MASTER_ADDR", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")
    if isinstance(count, int) and count > 1 and not any(name in os.environ for name in together):
        raise ValueError(
            f"trainer.num_nodes={count}: nothing says where the other machines are; start the run "
            "by srun or torchrun, or set MASTER_ADDR and NODE_RANK on each"
        )


def check_restarts() -> None:
    """Raise a ValueError if torchrun is to restart processes that could not find each other.

    It keeps its store between restarts, with the addresses of the processes that are gone: the new
    ones would wait for those (pytorch#135712, torch 2.14).
    """
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if shared and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) and launched_together():
        raise ValueError(
            "torchrun --max-restarts: restarted processes would wait for those that are gone; set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun, and start it with --standalone or "
            "--rdzv-backend=c10d"
        )


def await_first(
    path: Path, ready: Callable[[Path], bool] = Path.exists, seconds: float = 60
) -> None:
    """Wait for a file that rank zero of a run writes; raise a ValueError if it takes too long."""
    end = time.monotonic() + seconds
    while not ready(path):
        if time.monotonic() > end:
            raise ValueError(f"{path} does not come: the first process of the run has failed")
        time.sleep(0.1)


def wait_for_threads(directory: Path, seconds: float = 600) -> int:
    """Return the number of threads that rank zero of a run has chosen for all processes."""
    threads = 0

    def chosen(path: Path) -> bool:
        nonlocal threads
        if path.exists():
            threads = json.loads(path.read_text()).get("threads") or 0
        return threads > 0

    await_first(directory / "status.json", chosen, seconds)
    return threads


@contextmanager
def further_processes(directory: Path, threads: int, *, trust: bool = False) -> Iterator[None]:
    """Let Lightning start the further processes of a distributed run by `--resume DIRECTORY`.

    Lightning would repeat this process's command line: in a sweep, the second process would begin
    the whole sweep again. The command line and the environment are restored afterwards, for the
    next job of the sweep. `threads` is the maximum of each process; Lightning would choose another.

    The process group is destroyed afterwards in any case: threads of it that live until the
    interpreter ends abort the process.
    """
    import torch.distributed

    argv, hydra, before = sys.argv, HydraConfig.instance().cfg, dict(os.environ)
    sys.argv = [argv[0], "--resume", str(directory), *(["--trust"] if trust else [])]
    HydraConfig.instance().cfg = None
    os.environ[VARIABLE] = str(threads)
    try:
        yield
    finally:
        sys.argv, HydraConfig.instance().cfg = argv, hydra
        for name in (*LAUNCH_VARIABLES, VARIABLE):
            os.environ.pop(name, None)
            os.environ.update({name: before[name]} if name in before else {})
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gc.collect()  # references to the group keep its threads alive
            torch.distributed.destroy_process_group()
