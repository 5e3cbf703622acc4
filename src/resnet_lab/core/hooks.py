"""Which hooks of a callback Lightning has to call, and which may fail."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lightning.pytorch import Callback

from resnet_lab.core.harmless import harmless

Drawing = TypeVar("Drawing", bound=type[Callback])

OF_A_BATCH = (
    "on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward",
    "on_after_backward", "on_before_optimizer_step", "on_validation_batch_start",
    "on_validation_batch_end", "on_test_batch_start", "on_test_batch_end",
)  # fmt: skip


def leave_out_empty_hooks(callbacks: Iterable[Callback]) -> None:
    """Have Lightning skip the hooks of a batch that a callback leaves as they are: empty.

    Lightning calls each hook of each callback, some fifty a step, and most do nothing: a tenth of
    what a step of a small network takes beyond a bare loop. It passes over what is not callable.
    """
    for callback in callbacks:
        for name in OF_A_BATCH:
            hook = getattr(callback, name)
            if getattr(hook, "__func__", None) is getattr(Callback, name):
                setattr(callback, name, None)


def drawing(callback: Drawing) -> Drawing:
    """Let a callback class that draws never fail a run: after one error it does nothing more."""
    for name in dir(callback):
        hook = getattr(callback, name)
        if name.startswith("on_") and hook is not getattr(Callback, name, None):
            setattr(callback, name, _guarded(hook))
    return callback


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(hook)
    def guarded(self: Callback, *arguments: Any, **named: Any) -> None:
        if getattr(self, "failed", False):
            return
        with harmless(type(self).__name__):
            try:
                hook(self, *arguments, **named)
            except Exception:
                self.failed = True  # type: ignore[attr-defined]
                raise

    return guarded
