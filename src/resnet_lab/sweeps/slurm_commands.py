"""What the commands of a SLURM cluster say."""

import subprocess


def told(*command: str) -> list[str] | None:
    """Return what a command of SLURM's prints, by words; None if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.split()


def queue() -> set[str] | None:
    """Return the ids of this person's jobs that wait or run; None if SLURM does not say."""
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
