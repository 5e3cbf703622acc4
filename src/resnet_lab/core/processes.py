"""Helpers for distributed runs."""

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from resnet_lab.core.threads import VARIABLE

# What Lightning's launcher leaves in the environment of the process that started the others.
LAUNCH_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GLOBAL_RANK", "RANK",
)  # fmt: skip


PARENT = "RESNET_LAB_PARENT"  # process that a job of a pool must not outlive


def exit_with_parent() -> None:
    """End this process, as a termination would, when the one that `PARENT` names is gone."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def leads() -> bool:
    """Whether this process is the only one of its run, or the first."""
    return not any(
        int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    )


def launched_together() -> bool:
    """Whether torchrun, or srun, started this command several times at once."""
    by = "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_STEP_NUM_TASKS"
    return int(os.environ.get(by, "1")) > 1


def check_share(batch_size: int, processes: int) -> None:
    """Raise a ValueError unless processes can share a batch: each of them would say so later."""
    if batch_size % processes:
        raise ValueError(
            f"trainer.devices: {processes} processes cannot share data.batch_size={batch_size}: "
            "use a multiple of that"
        )


def await_first(path: Path, seconds: float = 60) -> None:
    """Wait for what the first process of a run writes and the others read.

    Raises:
        ValueError: it does not come.
    """
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise ValueError(f"{path} does not come: the first process of the run has failed")
        time.sleep(0.1)


def wait_for_threads(directory: Path, seconds: float = 600) -> int:
    """Return the number of threads that the first process of a run has chosen for all of them.

    Raises:
        ValueError: it does not come.
    """
    end = time.monotonic() + seconds
    while True:
        with suppress(FileNotFoundError):
            status = json.loads((directory / "status.json").read_text())
            if isinstance(status.get("threads"), int):
                return int(status["threads"])
        if time.monotonic() > end:
            raise ValueError(f"{directory}: the first process of the run has failed")
        time.sleep(0.1)


@contextmanager
def further_processes(directory: Path, threads: int, *, trust: bool = False) -> Iterator[None]:
    """Start the further processes of a distributed run from the run directory.

    Lightning starts them with this process's own command line, and where Hydra runs with all of
    its overrides: in a sweep, the second process would begin the whole sweep again. Within this
    context they get `--resume DIRECTORY` instead. Afterwards the next job of the sweep finds the
    environment as this one did.

    The process group ends with this context, however that ends and whoever started the processes:
    its threads must not live on into the end of the interpreter, which they abort.

    Args:
        directory: of the run.
        threads: of each process, at most; Lightning would choose others.
        trust: whether they, too, build whatever the run's configuration names.
    """
    argv, hydra, before = sys.argv, HydraConfig.instance().cfg, dict(os.environ)
    sys.argv = [argv[0], "--resume", str(directory), *(["--trust"] if trust else [])]
    HydraConfig.instance().cfg = None
    os.environ[VARIABLE] = str(threads)
    try:
        yield
    finally:
        sys.argv, HydraConfig.instance().cfg = argv, hydra
        for name in (*LAUNCH_VARIABLES, VARIABLE):
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
        end_process_group()


def end_process_group() -> None:
    """End the process group, if there is one."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # what refers to the group keeps its threads alive
        torch.distributed.destroy_process_group()
