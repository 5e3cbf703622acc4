"""Start and end sooner.

A command of a few seconds spends a third of them in Python's garbage collector: it goes again and
again through what torch and Lightning define when they are imported, and through all of it once
more when the process ends. None of that is ever garbage.
"""

import atexit
import gc
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
