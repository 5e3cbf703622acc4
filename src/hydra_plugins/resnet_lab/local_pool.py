"""A pool of processes on this machine."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class LocalPool(Launcher):
    """Run several jobs at once, each in a fresh process; see `resnet_lab.sweeps.pool`.

    Args:
        workers: jobs at once; None: `jobs_per_gpu` on each GPU, or what trains most images a second
            on these cores; see `resnet_lab.sweeps.slots`.
        jobs_per_gpu: that share a GPU and its memory, in equal parts.
    """

    config: DictConfig
    context: HydraContext

    def __init__(self, workers: int | None = None, jobs_per_gpu: int = 1) -> None:
        for name, value in (("workers", workers), ("jobs_per_gpu", jobs_per_gpu)):
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"hydra.launcher.{name}={value}: must be an integer >= 1")
        self.workers = workers
        self.jobs_per_gpu = jobs_per_gpu

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what the jobs are composed from."""
        from resnet_lab.core.threads import use

        use(1)  # so that `slots` can fork processes that use more
        self.config, self.context = config, hydra_context
        self.max_failures = OmegaConf.select(config, "hydra.sweeper.max_failures")

    @property
    def slots(self) -> int:
        """The number of jobs at once, for a search to choose as many together."""
        from resnet_lab.sweeps.pool import Pool

        return Pool(self.workers, self.jobs_per_gpu).workers

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs, and return when all have ended."""
        from resnet_lab.core.device import visible_gpus
        from resnet_lab.sweeps.composing import Composer
        from resnet_lab.sweeps.job import find_job
        from resnet_lab.sweeps.pool import Pool
        from resnet_lab.sweeps.slots import share_cores

        jobs = [find_job(self.config, overrides) for overrides in job_overrides]
        compose = Composer(self.config, self.context)
        workers, threads = self.workers, None
        if workers is None and not visible_gpus():
            directory = Path(self.config.hydra.sweep.dir)
            workers, threads = share_cores(directory, compose(jobs[0].overrides), len(jobs))
        pool = Pool(workers, self.jobs_per_gpu, self.max_failures, threads)
        return pool.run(self.config.hydra.sweep.dir, jobs, compose)
