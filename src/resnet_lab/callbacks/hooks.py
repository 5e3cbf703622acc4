"""Which hooks of a callback Lightning has to call."""

from collections.abc import Iterable

from lightning.pytorch import Callback

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
