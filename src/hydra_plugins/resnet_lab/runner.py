"""What the launchers share that run jobs in slots."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

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
        """Keep what the jobs are composed from."""
        self.config, self.context = config, hydra_context
        self.max_failures = OmegaConf.select(config, "hydra.sweeper.max_failures")

    @abstractmethod
    def runner(self, stream: "Stream") -> "AbstractContextManager[Runner]":
        """Return what runs these jobs, as a context."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs, and return when all have ended."""
        from resnet_lab.sweeps.job import find_job
        from resnet_lab.sweeps.launchers.runner import Stream

        return self.stream(Stream.of([find_job(self.config, each) for each in job_overrides]))

    def stream(self, stream: "Stream") -> list[JobReturn]:
        """Run jobs that are asked for as slots come free, and return when all have ended."""
        from resnet_lab.sweeps.composing import Composer

        with self.runner(stream) as runner:
            compose = Composer(self.config, self.context)
            return runner.run(self.config.hydra.sweep.dir, stream, compose)
