"""Several processes to one run."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

# What Lightning's launcher leaves in the environment of the process that started the others.
LAUNCH_VARIABLES = (
    "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GLOBAL_RANK", "RANK",
)  # fmt: skip


def leads() -> bool:
    """Whether this process is the only one of its run, or the first."""
    return not any(
        int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    )


def launched_together() -> bool:
    """Whether torchrun, or srun, started this command several times at once."""
    by = "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_STEP_NUM_TASKS"
    return int(os.environ.get(by, "1")) > 1


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


@contextmanager
def further_processes(directory: Path, *, trust: bool = False) -> Iterator[None]:
    """Start the further processes of a distributed run from the run directory.

    Lightning starts them with this process's own command line, and where Hydra runs with all of
    its overrides: in a sweep, the second process would begin the whole sweep again. Within this
    context they get `--resume DIRECTORY` instead. Afterwards the next job of the sweep finds the
    environment as this one did.

    Args:
        directory: of the run.
        trust: whether they, too, build whatever the run's configuration names.
    """
    argv, hydra, before = sys.argv, HydraConfig.instance().cfg, dict(os.environ)
    sys.argv = [argv[0], "--resume", str(directory), *(["--trust"] if trust else [])]
    HydraConfig.instance().cfg = None
    try:
        yield
    finally:
        sys.argv, HydraConfig.instance().cfg = argv, hydra
        started = "LOCAL_RANK" in os.environ and "LOCAL_RANK" not in before
        if started:
            for name in LAUNCH_VARIABLES:
                if name not in before:
                    os.environ.pop(name, None)
            import torch.distributed

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
