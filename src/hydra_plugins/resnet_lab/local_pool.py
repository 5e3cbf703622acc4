"""A pool of processes on this machine."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from hydra_plugins.resnet_lab.runner import RunnerLauncher

if TYPE_CHECKING:
    from resnet_lab.sweeps.runner import Runner, Stream


class LocalPool(RunnerLauncher):
    """Run several jobs at once, each in a fresh process; see `resnet_lab.sweeps.pool`.

    Args:
        workers: jobs at once; None: `jobs_per_gpu` on each GPU, or one for each two cores.
        jobs_per_gpu: that share a GPU.
    """

    def __init__(self, workers: int | None = None, jobs_per_gpu: int = 1) -> None:
        for name, value in (("workers", workers), ("jobs_per_gpu", jobs_per_gpu)):
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"hydra.launcher.{name}={value}: must be an integer >= 1")
        self.workers = workers
        self.jobs_per_gpu = jobs_per_gpu

    def runner(self, stream: "Stream") -> "AbstractContextManager[Runner]":
        """Return the pool."""
        from resnet_lab.sweeps.pool import Pool

        return nullcontext(Pool(self.workers, self.jobs_per_gpu, self.max_failures))
