"""Run jobs on a Ray cluster: one of this machine, begun for the sweep, or one that is there.

A job is a task of Ray's, which runs `resnet_lab.sweeps.launchers.job_process` on whichever node has
room. If its worker or its node is lost, Ray runs the task again, and that resumes the run.
"""

import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from resnet_lab.core.threads import available_cores
from resnet_lab.sweeps.launchers.job_process import run_on_node
from resnet_lab.sweeps.launchers.runner import End, Runner

log = logging.getLogger(__name__)

POLL = 0.5  # seconds that Ray waits for the end of a task
ANSWER = 5.0  # seconds for a cluster to answer: Ray would wait for minutes
STORE = 100 * 2**20  # bytes of shared memory: tasks return a few lines

# What Ray reads when it is imported.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# Of a cluster begun here. Only who knows the token is served: others may share the machine.
ALONE = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for listening on loopback alone
    "RAY_kill_child_processes_on_worker_exit": "0",  # a job saves when its worker is gone
    "RAY_worker_niceness": "0",  # 15 otherwise: jobs would wait for all else on the machine
}


class RayCluster(Runner):
    """Run jobs as tasks of Ray's, within `connected`; each has so many CPUs, GPUs and retries."""

    def __init__(
        self, num_cpus: float, num_gpus: float, max_retries: int, max_failures: int | None = None
    ) -> None:
        import ray

        super().__init__(max_failures)
        self.needs = {"CPU": num_cpus, "GPU": num_gpus}
        self._task = ray.remote(run_on_node).options(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            max_retries=max_retries,
            scheduling_strategy="SPREAD",
        )
        if not self._fitting():
            log.warning("no node has %s for a job: the jobs wait until one joins", self._needed())

    def room(self) -> int:
        """Return the number of jobs at once, as the nodes are now."""
        return max(1, self._fitting())

    def _fitting(self) -> int:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs = {name: amount for name, amount in self.needs.items() if amount}
        return sum(
            int(min(node.get(name, 0) / amount for name, amount in needs.items())) for node in nodes
        )

    def _needed(self) -> str:
        return " and ".join(f"{amount:g} {name}" for name, amount in self.needs.items() if amount)

    def start(self, slot: int, place: Path, config: DictConfig) -> Any:
        return self._task.remote(str(place), str(Path.cwd()))

    def wait(self, running: Mapping[int, Any]) -> list[End]:
        import ray

        if not running:
            return []
        ready, _ = ray.wait(list(running.values()), timeout=POLL)
        return [_end(slot, task) for slot, task in running.items() if task in ready]

    def stop(self, processes: Sequence[Any]) -> None:
        """Cancel the tasks: their jobs save and end; on another Ctrl-C, do not wait for that."""
        import ray

        for task in processes:
            ray.cancel(task)
        if processes:
            ray.wait(list(processes), num_returns=len(processes))


def _end(slot: int, task: Any) -> End:
    import ray

    try:
        return End(slot, *ray.get(task))
    except ray.exceptions.RayError as error:  # all retries were lost, or the node lacks a package
        lines = [line for line in str(error).splitlines() if line.strip()]
        traced = isinstance(error, ray.exceptions.RayTaskError)
        return End(slot, f"Ray: {lines[-1 if traced else 0].strip()}", str(error))


@contextlib.contextmanager
def connected(address: str | None, runtime_env: Mapping[str, Any] | None) -> Iterator[None]:
    """Be connected to a cluster within this context.

    Its address is host:port, or "auto" for one of this machine; None begins one here, which ends
    with this context. Raises a ValueError if there is none, or it does not take us.
    """
    os.environ.update(QUIET)
    more: dict[str, Any] = {"address": address}
    if address is None:
        os.environ.update(ALONE, RAY_AUTH_TOKEN=secrets.token_hex(32))
        more = {
            "address": "local",
            "num_cpus": available_cores(),
            "include_dashboard": False,
            "object_store_memory": STORE,
            "_node_ip_address": "127.0.0.1",
        }
    elif address != "auto":
        _check_answer(address)
    import ray

    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **more,
            runtime_env=dict(runtime_env or {}),
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises of every kind, also bare ones
        raise ValueError(f"hydra/launcher=ray: {str(error).splitlines()[0]}") from error
    signal.signal(signal.SIGTERM, before)  # Ray's would end this process at once
    try:
        yield
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"hydra.launcher.address={address}: must be host:port, auto, or null")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except OSError as error:
        raise ValueError(
            f"hydra.launcher.address={address}: no Ray cluster answers there ({error}); on its "
            f"first node: ray start --head --port {port}"
        ) from error


def gpus_of_a_job(config: DictConfig) -> int:
    """Return a GPU for each device of the trainer, if the cluster has any and it may use them."""
    import ray

    if not ray.cluster_resources().get("GPU") or config.trainer.accelerator == "cpu":
        return 0
    devices = config.trainer.devices
    return devices if type(devices) is int else 1
