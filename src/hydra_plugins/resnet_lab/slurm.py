"""A SLURM cluster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from resnet_lab.sweeps.launchers.runner import Stream
    from resnet_lab.sweeps.launchers.slurm import Submission


class Slurm(Launcher):
    """Run the jobs on a SLURM cluster; see `resnet_lab.sweeps.launchers.slurm`.

    Without `wait` they are submitted, and nothing waits for them. The parameters are submitit's;
    `conf/hydra/launcher/slurm.yaml` lists them.
    """

    def __init__(self, wait: bool = True, **parameters: Any) -> None:
        if not isinstance(wait, bool):
            raise ValueError(f"hydra.launcher.wait={wait}: must be true or false")
        self.waits = wait
        self.parameters = parameters
        self.submission: Submission | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Find what talks to the cluster; raise a ValueError if it is not installed."""
        try:
            from resnet_lab.sweeps.launchers.slurm import Submission
        except ImportError as error:
            raise ValueError(
                f"hydra/launcher=slurm: {error.name} is not installed; pip install -c "
                'constraints.txt -e ".[slurm]"'
            ) from error
        self.submission = Submission(self.waits, **self.parameters)
        self.submission.setup(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs, and return when all have ended, or at once without `wait`."""
        assert self.submission is not None
        return self.submission.launch(job_overrides, initial_job_idx)

    def stream(self, stream: "Stream") -> list[JobReturn]:
        """Submit jobs as they are asked for, and return when all have ended."""
        assert self.submission is not None
        return self.submission.stream(stream)
