"""The profiler of a run that nobody profiles."""

from contextlib import AbstractContextManager, nullcontext

from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING: AbstractContextManager[None] = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Measure nothing, at no cost.

    Lightning asks its profiler for a context some seventy times a step; its own one that measures
    nothing makes a generator each time, which adds up to a tenth of a step of a small network.
    """

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return the one context in which nothing is done."""
        return _NOTHING
