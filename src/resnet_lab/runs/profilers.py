"""Build profilers that write into the run directory."""

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.profilers import (
    AdvancedProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from resnet_lab.core.harmless import harmless


class _Harmless(Profiler):
    def describe(self) -> None:
        """Write the profile; an error here does not fail the run."""
        with harmless("trainer.profiler"):
            super().describe()


class _Simple(_Harmless, SimpleProfiler):
    pass


class _Advanced(_Harmless, AdvancedProfiler):
    pass


class _PyTorch(_Harmless, PyTorchProfiler):
    def __init__(self, dirpath: Path, filename: str) -> None:
        # All of the three recorded steps of training and of validation are to be in the table.
        super().__init__(dirpath, filename, acc_events=True)


PROFILERS: dict[str, Callable[[Path, str], Profiler]] = {
    "simple": _Simple, "advanced": _Advanced, "pytorch": _PyTorch,
}  # fmt: skip


def build_profiler(name: str, directory: Path) -> Profiler:
    """Build a profiler of Lightning that writes to `profile/` in a run directory.

    It is simple (seconds of each hook), advanced (of each function) or pytorch (of each operation,
    with traces for a browser).
    """
    if name not in PROFILERS:
        raise ValueError(f"trainer.profiler={name}: must be one of {', '.join(PROFILERS)}, or null")
    return PROFILERS[name](directory / "profile", name)
