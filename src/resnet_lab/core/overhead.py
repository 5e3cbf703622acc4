"""Reduce the overhead of the garbage collector, the allocator and OpenMP.

All such tricks are in this file, and `lean: false` turns them off; each has its measured gain, of
the small network (`model=small_resnet data=mnist`) where nothing else is said. A trick that gains
less than 2 % of its step is not kept; nothing of Lightning is changed.
"""

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

RARELY = (500_000, 20, 20)  # but sometimes: a sweep checks many jobs before the first one trains
SPINS = "10000"

_usual: tuple[int, int, int] | None = None  # thresholds of the collector, while it runs rarely


@contextmanager
def reduced_overhead(config: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Apply everything of this module, unless `lean` is false, to a process that runs one command.

    Enter it before torch is imported.
    """
    if config is not None and not config.get("lean", True):
        yield
        return
    limit_spinning()
    keep_memory()
    with rare_collection():
        yield


@contextmanager
def rare_collection() -> Iterator[None]:
    """Run the garbage collector rarely until `freeze_gc`, and not when the process ends.

    torch and Lightning define much when they are imported, none of it garbage, and the collector
    would go through it again and again, and once more when the process ends.

    Gain: a command that trains three steps of a ResNet-8 on the digits takes 5.1 s of CPU time
    instead of 7.4 s, 1.43 times as much (1.33 to 1.49; 5 pairs of processes in turn, one thread).
    """
    global _usual
    atexit.register(gc.freeze)
    _usual = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        _restore()


def freeze_gc() -> None:
    """Exempt all objects that exist now from collection, and collect as usual again.

    Does nothing outside of `rare_collection`. Call it after the imports, and before anything is
    made that should be freed later. In a sweep the first job does so for all: another freeze would
    keep the configuration of every job, which has cycles, for ever.
    """
    if _usual is not None:
        if not gc.get_freeze_count():
            gc.freeze()
        _restore()


def _restore() -> None:
    global _usual
    if _usual is not None:
        gc.set_threshold(*_usual)
        _usual = None


def limit_spinning() -> None:
    """Let OpenMP's threads sleep sooner while they wait for each other.

    OpenMP on Linux (GCC's) reads this once, when torch is imported. By default a thread spins
    300,000 times before it sleeps, on a core that the late thread needs if the machine is busy.

    Gain: a step of a ResNet-20 on the digits takes 0.95 s instead of 6.6 s on two threads beside
    much other work on two cores (0.17 s on one thread), and as long as before on a quiet machine.
    With 5,000 spins that is 5 % slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def keep_memory() -> None:
    """Let glibc keep freed memory for the next step; see mallopt(3).

    It would give the memory of the activations back to the system and ask for it again at each
    step, which costs page faults. Blocks above 32 MB, the limit of glibc, are given back as before.

    Gain: a step of the small network takes 25.4 ms of CPU time instead of 30.8 ms, 0.1 ms of it in
    the system instead of 5.1 ms, with 7 page faults instead of 2,544. Without it the step is 22 %
    slower (quartiles 18 % and 31 %; 12 pairs of processes in turn, 40 steps each, one thread).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_mmap_threshold, 32 * 2**20)
