"""A Ray cluster of several nodes on the loopback address, for as long as a test needs it."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.helpers import wait_until

# `ray start` gives a node the address of a network interface; these nodes are on loopback alone. It
# gives up after 30 seconds, which a busy machine may need: its clock goes slowly.
START = """
import time
from types import SimpleNamespace
from ray._private import node, services
node.time = SimpleNamespace(
    time=time.time, sleep=time.sleep, monotonic=lambda: time.monotonic() / 10
)
services.resolve_ip_for_localhost = lambda host: host
from ray.scripts.scripts import main
main()
"""


class Cluster:
    """A cluster of nodes, each with room for some jobs.

    Args:
        scratch: an empty directory, for what the nodes print.
        environment: of the nodes, and of commands that are to reach them.
    """

    def __init__(self, scratch: Path, environment: dict[str, str]) -> None:
        self.scratch = scratch
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{one.getsockname()[1]}"
        alone = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_agent_register_timeout_ms": "300000",
            "RAY_kill_child_processes_on_worker_exit": "0",
            "RAY_worker_niceness": "0",
        }
        self.node_environment = {**environment, **alone}
        self.environment = {
            **self.node_environment,
            "RAY_ADDRESS": self.address,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # 127.0.0.1 is what it says
        }
        self.nodes: list[subprocess.Popen[bytes]] = []

    def add(self, cpus: int) -> None:
        """Start a node, and wait until it runs."""
        head = ["--head", "--port", self.port, "--no-monitor", "--include-dashboard", "false"]
        where = ["--address", self.address] if self.nodes else head
        options = [
            "--node-ip-address", "127.0.0.1", "--num-cpus", str(cpus), "--num-gpus", "0", "--block",
            "--object-store-memory", str(100 * 2**20), "--include-log-monitor", "false",
        ]  # fmt: skip
        printed = self.scratch / f"node{len(self.nodes)}"
        with printed.open("wb") as out:
            node = subprocess.Popen(
                [sys.executable, "-c", START, "start", *where, *options],
                env=self.node_environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self.nodes.append(node)

        def up() -> bool:
            assert node.poll() is None, printed.read_text()
            return "Ray runtime started" in printed.read_text()

        wait_until(up, 180)

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    def kill(self, number: int) -> None:
        """Kill all that Ray runs on a node with SIGKILL, but not the jobs' own processes."""
        node = psutil.Process(self.nodes[number].pid)
        for process in [*node.children(), node]:
            process.send_signal(signal.SIGKILL)
        self.nodes[number].wait()

    def stop(self) -> None:
        """Kill all that belongs to the cluster: only its processes know its token."""
        token = self.node_environment["RAY_AUTH_TOKEN"]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("RAY_AUTH_TOKEN") == token:
                    process.kill()
        for node in self.nodes:
            node.wait()


@contextlib.contextmanager
def cluster(scratch: Path, nodes: int, cpus: int) -> Iterator[Cluster]:
    """Start a cluster, and stop it in the end."""
    path = f"{Path.cwd()}:{os.environ.get('PYTHONPATH', '')}"
    found = Cluster(scratch, {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
    try:
        for _ in range(nodes):
            found.add(cpus)
        yield found
    finally:
        found.stop()
