"""A pool of processes on this machine, and what all launchers share that run jobs in slots."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.config import check_integer

if TYPE_CHECKING:
    from resnet_lab.sweeps.launchers.runner import Runner, Stream


class RunnerLauncher(Launcher):
    """Run jobs in slots; see `resnet_lab.sweeps.launchers.runner`."""

    config: DictConfig
    context: HydraContext
    max_failures: int | None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.context = config, hydra_context
        self.max_failures = OmegaConf.select(config, "hydra.sweeper.max_failures")

    @abstractmethod
    def runner(self) -> "AbstractContextManager[Runner]":
        """Return what runs the jobs, as a context."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from resnet_lab.sweeps.job import find_job
        from resnet_lab.sweeps.launchers.runner import Stream

        return self.stream(Stream.of([find_job(self.config, each) for each in job_overrides]))

    def stream(self, stream: "Stream") -> list[JobReturn]:
        """Run jobs that are asked for as slots come free, and return when all have ended."""
        from resnet_lab.sweeps.composing import Composer

        with self.runner() as runner:
            compose = Composer(self.config, self.context)
            return runner.run(self.config.hydra.sweep.dir, stream, compose)


@dataclass(eq=False)
class LocalPool(RunnerLauncher):
    """Run several jobs at once, each in a fresh process; see `resnet_lab.sweeps.launchers.pool`.

    Without `workers` there are `jobs_per_gpu` on each GPU, which share its memory in equal parts,
    or what trains most images a second on these cores: `resnet_lab.sweeps.launchers.slots`.
    """

    workers: int | None = None  # jobs at once
    jobs_per_gpu: int = 1
    threads: int | None = field(default=None, init=False)  # of a process; None: an equal share

    def __post_init__(self) -> None:
        from resnet_lab.core.threads import use

        check_integer("hydra.launcher.workers", self.workers, null=True)
        check_integer("hydra.launcher.jobs_per_gpu", self.jobs_per_gpu)
        use(1)  # so that `slots` can fork processes that use more

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

    def runner(self) -> "AbstractContextManager[Runner]":
        from resnet_lab.sweeps.launchers.pool import Pool

        pool = Pool(self.workers, self.jobs_per_gpu, self.max_failures, self.threads)
        return nullcontext(pool)
