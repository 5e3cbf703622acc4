"""Turn errors of drawing and reporting into warnings, so that they never fail a run.

This is for pictures, tables and pages, not for records: a run whose `metrics.csv` or TensorBoard
curves cannot be written fails, and can be resumed from its last checkpoint.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from resnet_lab.core.errors import one_line

log = logging.getLogger(__name__)

C = TypeVar("C", bound=type[Any])


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Turn an error into one warning of what is left out; the run's log has its traceback."""
    try:
        yield
    except Exception as error:
        log.warning("%s failed and is left out: %s", what, one_line(error))
        log.debug("traceback of that", exc_info=True)


def harmless_callback(callback: C) -> C:
    """Guard the hooks of a Lightning callback class: after one error it does nothing more."""
    from lightning.pytorch import Callback  # takes seconds: not when a command only prints its help

    for name in dir(callback):
        hook = getattr(callback, name)
        if name.startswith("on_") and hook is not getattr(Callback, name, None):
            setattr(callback, name, _guarded(hook))
    return callback


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(hook)
    def guarded(self: Any, *arguments: Any, **named: Any) -> None:
        if getattr(self, "failed", False):
            return
        with harmless(type(self).__name__):
            try:
                hook(self, *arguments, **named)
            except Exception:
                self.failed = True
                raise

    return guarded
