"""Start and end sooner.

A command of a few seconds spends a third of them in Python's garbage collector: it goes again and
again through what torch and Lightning define when they are imported, and through all of it once
more when the process ends. None of that is ever garbage.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_put_off = False


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Collect nothing before `collect`; for a process that does one command and ends."""
    global _put_off
    atexit.register(gc.freeze)
    _put_off = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        collect()


def spare() -> None:
    """Leave what there is out of every collection, where collection was put off.

    Call it when most imports are done, and before anything is made that should be freed some day.
    """
    if _put_off:
        gc.freeze()


def collect() -> None:
    """Collect again, where collection was put off."""
    global _put_off
    if _put_off:
        _put_off = False
        gc.enable()
