"""Ask a SLURM cluster for its queue and its partitions, and a sweep for its ids in the queue."""

import json
import subprocess
from pathlib import Path

QUEUED = ".submitit/queued.json"  # in a sweep: the ids that SLURM gave, by directory of the job


def submitted(sweep: Path) -> dict[str, str]:
    """Return the ids that SLURM gave the jobs of a sweep, by directory of the job."""
    path = sweep / QUEUED
    ids: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return ids


def told(*command: str) -> list[str] | None:
    """Return the words that a command of SLURM prints; None if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.split()


def queue() -> set[str] | None:
    """Return the ids of this user's jobs that wait or run; None if SLURM does not answer."""
    ids = told("squeue", "-h", "--me", "-r", "-o", "%i")
    return None if ids is None else set(ids)


def has_gpus(partition: str | None) -> bool:
    """Whether a partition has GPUs; None: the default one, where jobs go that name none."""
    named = ["-p", partition] if partition else []
    words = told("sinfo", "-h", "-o", "%P %G", *named) or []
    return any(
        "gpu" in devices
        for name, devices in zip(words[::2], words[1::2], strict=True)
        if partition or name.endswith("*")  # a star marks the default one
    )
