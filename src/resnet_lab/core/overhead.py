"""Start and end sooner.

A command of a few seconds spends a third of them in Python's garbage collector: it goes again and
again through what torch and Lightning define when they are imported, and through all of it once
more when the process ends. None of that is ever garbage.

And a small network spends a tenth of each step on a CPU in page faults: the C library gives the
memory of the activations back to the system after a step, and asks for it again in the next.
"""

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = (500_000, 20, 20)  # not never: a sweep composes and checks its jobs before one trains

_usual: tuple[int, int, int] | None = None  # thresholds, while collection is put off


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Collect rarely until `collect`, and not at the end; for a process that does one command."""
    global _usual
    atexit.register(gc.freeze)
    _usual = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        collect()


def spare() -> None:
    """Leave what there is out of every collection, where collection is put off.

    Call it when most imports are done, and before anything is made that should be freed some day.
    """
    if _usual is not None:
        gc.freeze()


def collect() -> None:
    """Collect as usual again, where collection is put off."""
    global _usual
    if _usual is not None:
        gc.set_threshold(*_usual)
        _usual = None


def wait_briefly() -> None:
    """Have the threads of an operation sleep sooner while they wait for each other.

    Call it before torch is imported, whose OpenMP on Linux (GCC's) reads this once. It would go
    300,000 times round a loop before it sleeps, on a core that the late thread needs where the
    machine is busy. With 10,000 a step of a ResNet-20 on the digits, two threads beside much other
    work on two cores, takes 0.95 s instead of 6.6 s (on one thread 0.17 s), and on a quiet machine
    as long as before, on CIFAR-10 too. With 5,000 that is 5 % slower.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def keep_memory() -> None:
    """Have the C library keep what is freed, for the next step; for a process that trains.

    Only glibc is told (mallopt(3)); blocks above 32 MB, its limit, go back as before.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_mmap_threshold, 32 * 2**20)
