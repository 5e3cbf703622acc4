"""One job after the other, in this process."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, env_override
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    from resnet_lab.sweeps.job import Job


class InProcess(Launcher):
    """Run the jobs one after the other.

    Hydra's own launcher (`hydra/launcher=basic`) does so too, but composes each job from all files,
    which takes as long as the rest of a tiny job, and keeps the configurations of all jobs.
    """

    config: DictConfig
    context: HydraContext
    task: TaskFunction

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from resnet_lab.sweeps.composing import Composer

        self.config, self.context, self.task = config, hydra_context, task_function
        self.compose = Composer(config, hydra_context)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from resnet_lab.sweeps.job import find_job

        instance = HydraConfig.instance()
        before, own = instance.cfg, OmegaConf.create({"hydra": deepcopy(self.config.hydra)})
        returns = []
        try:
            for job in (find_job(self.config, overrides) for overrides in job_overrides):
                directory = Path(self.config.hydra.sweep.dir, job.directory)
                with read_write(own.hydra), open_dict(own.hydra):
                    own.hydra.runtime.output_dir = str(directory)
                    own.hydra.overrides.task = job.overrides
                instance.set_config(own)
                directory.mkdir(parents=True, exist_ok=True)
                with env_override(own.hydra.job.env_set):
                    returns.append(self._run(job, own))
        finally:
            instance.cfg = before
        return returns

    def _run(self, job: "Job", own: DictConfig) -> JobReturn:
        """Run a job, with the job callbacks of Hydra's if the user has some."""
        from resnet_lab.sweeps.job import returned

        callbacks = self.context.callbacks
        try:
            config = self.compose(job.overrides)
            if callbacks.callbacks:
                own = deepcopy(own)
                own.merge_with(config)
                callbacks.on_job_start(config=own, task_function=self.task)
            result = returned(job, self.task(config))
        except Exception as error:  # of this job; the others run
            result = returned(job, error)
        if callbacks.callbacks:
            callbacks.on_job_end(config=own, job_return=result)
        return result
