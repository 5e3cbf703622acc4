"""Count CPU cores, and set torch's number of threads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "OMP_NUM_THREADS"


def available_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use: affinity mask and cgroup quotas."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = min(_quotas(root), default=float(cores))
    return max(1, min(cores, int(quota)))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of this process's cgroups and their parents, v1 and v2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    base = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # v2; beside v1 it is mounted in `unified`
            mounts = [base, base / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [base / "cpu", base / controllers]
        else:
            continue
        for mount in mounts:
            # In a container the path may be the host's: then only the mount itself exists.
            group = mount / path.lstrip("/")
            parents = [each for each in group.parents if mount in (each, *each.parents)]
            for place in (group, *parents):
                for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
                    with suppress(OSError, ValueError, ZeroDivisionError):  # no quota here
                        texts = [(place / name).read_text() for name in names]
                        quota, period = " ".join(texts).split()
                        if quota.isdigit():  # neither "max" nor -1
                            yield int(quota) / int(period)


def most_threads(processes: int = 1) -> int:
    """Return how many threads a process may use, if several share the cores of this machine.

    OMP_NUM_THREADS is an upper bound: a pool, a cluster or the user has set it.
    """
    most = max(1, available_cores() // processes)
    first = os.environ.get(VARIABLE, "").split(",")[0].strip()  # one number for each level
    return min(most, int(first)) if first.isdigit() and int(first) > 0 else most


def check_threads(setting: object, most: int | None = None) -> None:
    """Raise a ValueError unless `trainer.threads` is auto, or a number up to `most`."""
    if setting == "auto":
        return
    if not isinstance(setting, int) or isinstance(setting, bool) or setting < 1:
        raise ValueError(f"trainer.threads={setting}: must be auto or an integer >= 1")
    if most is not None and setting > most:
        raise ValueError(
            f"trainer.threads={setting}: a process may use {most} here (cores, cgroup quota, "
            f"{VARIABLE}, other processes of the run): use at most {most}, or auto"
        )


def use(number: int) -> None:
    """Set torch's number of threads."""
    import torch

    torch.set_num_threads(number)


@contextmanager
def using(number: int) -> Iterator[None]:
    """Set torch's number of threads within this context."""
    import torch

    before = torch.get_num_threads()
    use(number)
    try:
        yield
    finally:
        use(before)
