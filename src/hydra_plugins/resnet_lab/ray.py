"""A Ray cluster."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hydra_plugins.resnet_lab.runner import RunnerLauncher

if TYPE_CHECKING:
    from resnet_lab.sweeps.launchers.runner import Runner, Stream


class Ray(RunnerLauncher):
    """Run each job as a task of a Ray cluster; see `resnet_lab.sweeps.launchers.ray_cluster`.

    Args:
        address: of a cluster; None: begin one on this machine.
        num_cpus: of a job.
        num_gpus: of a job; "auto": one for each of the trainer's devices, where there are any.
        max_retries: of a job whose worker or node was lost.
        runtime_env: of Ray's, for the jobs.
    """

    def __init__(
        self,
        address: str | None,
        num_cpus: Any,
        num_gpus: Any,
        max_retries: int,
        runtime_env: Mapping[str, Any] | None,
    ) -> None:
        if not isinstance(num_cpus, int | float) or num_cpus <= 0:
            raise ValueError(f"hydra.launcher.num_cpus={num_cpus}: must be a number > 0")
        if num_gpus != "auto" and not (isinstance(num_gpus, int | float) and num_gpus >= 0):
            raise ValueError(f"hydra.launcher.num_gpus={num_gpus}: must be auto or a number >= 0")
        if type(max_retries) is not int or max_retries < 0:
            raise ValueError(f"hydra.launcher.max_retries={max_retries}: must be an integer >= 0")
        if find_spec("ray") is None:
            raise ValueError(
                "hydra/launcher=ray: ray is not installed; pip install -c constraints.txt -e "
                '".[ray]"'
            )
        self.address = address
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.max_retries = max_retries
        self.runtime_env = runtime_env

    @contextmanager
    def runner(self, stream: "Stream") -> "Iterator[Runner]":
        """Connect to the cluster, and return what runs the jobs there."""
        from resnet_lab.sweeps.launchers.ray_cluster import RayCluster, connected, gpus_of_a_job

        with connected(self.address, self.runtime_env):
            gpus = gpus_of_a_job(self.config) if self.num_gpus == "auto" else self.num_gpus
            yield RayCluster(self.num_cpus, gpus, self.max_retries, self.max_failures)
