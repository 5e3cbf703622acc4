"""A pool of processes on this machine."""

from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.resnet_lab.runner import RunnerLauncher

if TYPE_CHECKING:
    from resnet_lab.sweeps.launchers.runner import Runner, Stream


class LocalPool(RunnerLauncher):
    """Run several jobs at once, each in a fresh process; see `resnet_lab.sweeps.launchers.pool`.

    Args:
        workers: jobs at once; None: `jobs_per_gpu` on each GPU, or what trains most images a second
            on these cores; see `resnet_lab.sweeps.launchers.slots`.
        jobs_per_gpu: that share a GPU and its memory, in equal parts.
    """

    def __init__(self, workers: int | None = None, jobs_per_gpu: int = 1) -> None:
        for name, value in (("workers", workers), ("jobs_per_gpu", jobs_per_gpu)):
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"hydra.launcher.{name}={value}: must be an integer >= 1")
        self.workers = workers
        self.jobs_per_gpu = jobs_per_gpu

        self.threads: int | None = None  # of a job's processes; None: an equal share of the cores

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what the jobs are composed from."""
        from resnet_lab.core.threads import use

        use(1)  # so that `slots` can fork processes that use more
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def stream(self, stream: "Stream") -> list[JobReturn]:
        """Choose how the jobs share the cores by the first of them, and run them."""
        from resnet_lab.core.device import visible_gpus
        from resnet_lab.sweeps.composing import Composer
        from resnet_lab.sweeps.launchers.slots import share_cores

        jobs = iter(stream.jobs)
        first = next(jobs, None)
        if first is not None and self.workers is None and not visible_gpus():
            directory = Path(self.config.hydra.sweep.dir)
            config = Composer(self.config, self.context)(first.overrides)
            self.workers, self.threads = share_cores(directory, config, stream.total)
        return super().stream(stream._replace(jobs=chain([first], jobs)))

    def runner(self, stream: "Stream") -> "AbstractContextManager[Runner]":
        """Return the pool."""
        from resnet_lab.sweeps.launchers.pool import Pool

        pool = Pool(self.workers, self.jobs_per_gpu, self.max_failures, self.threads)
        return nullcontext(pool)
