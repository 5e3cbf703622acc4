"""A Ray cluster."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hydra_plugins.resnet_lab.local_pool import RunnerLauncher
from resnet_lab.core.configuration.config import check_integer

if TYPE_CHECKING:
    from resnet_lab.sweeps.launchers.runner import Runner


@dataclass(eq=False)
class Ray(RunnerLauncher):
    """Run each job as a task of a Ray cluster; see `resnet_lab.sweeps.launchers.ray_cluster`."""

    address: str | None  # of a cluster; None: begin one on this machine
    num_cpus: Any  # of a job
    num_gpus: Any  # of a job; "auto": one for each of the trainer's devices, where there are any
    max_retries: int  # of a job whose worker or node was lost
    runtime_env: Mapping[str, Any] | None  # of Ray's, for the jobs

    def __post_init__(self) -> None:
        cpus, gpus = self.num_cpus, self.num_gpus
        if not isinstance(cpus, int | float) or cpus <= 0:
            raise ValueError(f"hydra.launcher.num_cpus={cpus}: must be a number > 0")
        if gpus != "auto" and not (isinstance(gpus, int | float) and gpus >= 0):
            raise ValueError(f"hydra.launcher.num_gpus={gpus}: must be auto or a number >= 0")
        check_integer("hydra.launcher.max_retries", self.max_retries, 0)
        if find_spec("ray") is None:
            raise ValueError(
                "hydra/launcher=ray: ray is not installed; pip install -c constraints.txt -e "
                '".[ray]"'
            )

    @contextmanager
    def runner(self) -> "Iterator[Runner]":
        """Connect to the cluster, and return what runs the jobs there."""
        from resnet_lab.sweeps.launchers.ray_cluster import RayCluster, connected, gpus_of_a_job

        with connected(self.address, self.runtime_env):
            gpus = gpus_of_a_job(self.config) if self.num_gpus == "auto" else self.num_gpus
            yield RayCluster(self.num_cpus, gpus, self.max_retries, self.max_failures)
