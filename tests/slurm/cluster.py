"""A SLURM cluster on this machine alone, for as long as tests need it.

All of it lies in one scratch directory: configuration, key, sockets, state, logs. A cluster that
this machine may belong to is neither read nor touched.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import wait_until

PACKAGES = {  # of Debian and Ubuntu, by a program that each has
    "munged": "munge",
    "sbatch": "slurm-client",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
}

# Three nodes that are all this machine; n3 pretends to have a GPU. Jobs of the partition `urgent`
# take the place of others, which are told 30 seconds before.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={scratch}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
StateSaveLocation={scratch}/state
SlurmdSpoolDir={scratch}/spool.%n
SlurmctldPidFile={scratch}/slurmctld.pid
SlurmdPidFile={scratch}/slurmd.%n.pid
SlurmctldLogFile={scratch}/slurmctld.log
SlurmdLogFile={scratch}/slurmd.%n.log
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
GresTypes=gpu
NodeName=DEFAULT CPUs=2 State=UNKNOWN
NodeName=n1 NodeHostname=localhost Port={ports[1]}
NodeName=n2 NodeHostname=localhost Port={ports[2]}
NodeName=n3 NodeHostname=localhost Port={ports[3]} Gres=gpu:1
PartitionName=debug Nodes=n1,n2 Default=YES PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=n1,n2 PriorityTier=2
PartitionName=gpus Nodes=n3
"""
NODES = ("n1", "n2", "n3")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where the daemons are


def missing() -> list[str]:
    """Return the packages that this needs and the machine has not."""
    return [name for program, name in PACKAGES.items() if not shutil.which(program, path=PATH)]


@contextlib.contextmanager
def cluster(scratch: Path) -> Iterator[dict[str, str]]:
    """Start a cluster in an empty directory, and yield the environment that leads to it."""
    scratch.chmod(0o755)
    ports = _free_ports(1 + len(NODES))
    text = CONFIGURATION.format(scratch=scratch, user=getpass.getuser(), ports=ports)
    (scratch / "slurm.conf").write_text(text)
    (scratch / "gres.conf").write_text("NodeName=n3 Name=gpu File=/dev/null\n")
    (scratch / "state").mkdir()
    key = scratch / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(64))
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(scratch / "slurm.conf")}
    with contextlib.ExitStack() as daemons:

        def start(*command: str) -> None:
            with (scratch / f"{command[0]}.out").open("ab") as out:
                process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
            daemons.callback(_stop, process)

        def idle() -> bool:
            told = subprocess.run(
                ["sinfo", "-h", "-N", "-o", "%N %t"],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            return set(told.stdout.splitlines()) == {f"{node} idle" for node in NODES}

        files = {name: f"{scratch}/munge.{name}" for name in ("socket", "log", "pid", "seed")}
        options = [f"--{name}-file={files[name]}" for name in ("log", "pid", "seed")]
        start(
            "munged", "--foreground", f"--socket={files['socket']}", f"--key-file={key}", *options
        )
        wait_until(Path(files["socket"]).exists)
        start("slurmctld", "-D")
        for node in NODES:
            start("slurmd", "-D", "-N", node)
        wait_until(idle)
        yield environment


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
