"""The process of a job that trains in its run directory, on this machine or on a node of Ray's."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_lab.core.processes import PARENT

FRAME = " \t" + "".join(map(chr, range(0x2500, 0x2580)))  # characters that a table is drawn with
POLL = 0.2  # seconds between two checks of a process
PATIENCE = 120.0  # seconds for the process of a lost worker to save and end
KEPT = 20_000  # characters of what it printed


def command(place: Path) -> list[str]:
    """Return the command that starts or resumes the run of a directory."""
    return [sys.executable, "-m", "resnet_lab.train", "--resume", str(place), "--trust"]


class JobProcess(subprocess.Popen[bytes]):
    """The process that starts or resumes the run of a directory; it ends if this process does.

    It gets the `environment` beside that of this process. Ctrl-C does not reach it.
    """

    def __init__(
        self, place: Path, environment: Mapping[str, str], folder: str | None = None
    ) -> None:
        self.output = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it has ended
        super().__init__(
            command(place),
            cwd=folder,
            env={**os.environ, **environment, PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self) -> tuple[str, str]:
        """Say why it ended, with the last line of text that it printed; return that, and all."""
        with self.output:
            self.output.seek(0)
            printed = self.output.read().decode(errors="replace")
        code = self.returncode
        why = f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if code == -signal.SIGKILL:
            why += ": the machine may be out of memory"
        lines = [line.strip(FRAME) for line in printed.splitlines()]
        last = [line for line in lines if any(map(str.isalnum, line))][-1:]
        return ": ".join([why, *last]), printed


def run_on_node(directory: str, here: str, patience: float = PATIENCE) -> tuple[str, str]:
    """Run a job on a node, as a task of Ray's; it returns when the job's process has ended.

    The process of an earlier try may still save, after its worker was lost: it is waited for, for
    so many seconds. `here` is the working directory of the sweep, if the node has it. Returns why
    the process ended, and what it printed.
    """
    place, node = Path(directory), socket.gethostname()
    if not (place / "config.yaml").is_file():
        return f"node {node} does not see {place}: name a sweep_dir that all nodes share", ""
    try:
        with FileLock(place / ".lock", timeout=patience):
            pass
    except Timeout:
        return f"another process trains there still, {patience:.0f} s after this began", ""
    job = JobProcess(place, {}, here if Path(here).is_dir() else None)
    try:
        while job.poll() is None:  # short waits: Ray cancels between two lines of Python
            time.sleep(POLL)
    except KeyboardInterrupt:
        job.terminate()  # it saves; Ray's workers block SIGINT, and their children too
        job.wait()
        job.output.close()
        raise
    why, printed = job.end()
    return why, printed[-KEPT:]
