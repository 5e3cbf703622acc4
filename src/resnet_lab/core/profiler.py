"""The profiler of a run that nobody profiles, and those that write into the run directory."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from lightning.pytorch.profilers import (
    AdvancedProfiler,
    PassThroughProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from resnet_lab.core.harmless import harmless

_NOTHING: AbstractContextManager[None] = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Measure nothing, at no cost.

    Lightning asks its profiler for a context some seventy times a step; its own one that measures
    nothing makes a generator each time, which adds up to a tenth of a step of a small network.
    """

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return the one context in which nothing is done."""
        return _NOTHING


class _Harmless(Profiler):
    def describe(self) -> None:
        """Write the profile; a profile that cannot be written fails no run."""
        with harmless("trainer.profiler"):
            super().describe()


class _Simple(_Harmless, SimpleProfiler):
    pass


class _Advanced(_Harmless, AdvancedProfiler):
    pass


class _PyTorch(_Harmless, PyTorchProfiler):
    def __init__(self, dirpath: Path, filename: str) -> None:
        # Three steps of training and of validation are recorded: all are to be in the table.
        super().__init__(dirpath, filename, acc_events=True)


PROFILERS: dict[str, Callable[[Path, str], Profiler]] = {
    "simple": _Simple, "advanced": _Advanced, "pytorch": _PyTorch,
}  # fmt: skip


def profiler(name: str, directory: Path) -> Profiler:
    """Return a profiler of Lightning's that writes to `profile/` in a run directory.

    Args:
        name: simple (seconds of each hook), advanced (of each function) or pytorch (of each
            operation, with traces for a browser).
        directory: of the run.

    Raises:
        ValueError: there is no such profiler.
    """
    if name not in PROFILERS:
        raise ValueError(f"trainer.profiler={name}: use {', '.join(PROFILERS)} or null")
    return PROFILERS[name](directory / "profile", name)
