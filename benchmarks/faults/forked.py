"""Run a function in a forked child, which saves the imports.

The parent imports torch and Lightning once and never trains. A child may be killed at a moment, or
just before the n-th operation on files below a directory.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

# Events of sys.addaudithook that change files, and which of their arguments are paths.
CHANGES = {
    "os.mkdir": (0,), "os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.link": (0, 1),
    "os.symlink": (0, 1), "os.truncate": (0,), "shutil.rmtree": (0,), "shutil.move": (0, 1),
}  # fmt: skip


class Ended(NamedTuple):
    """How a child ended."""

    code: int  # exit status; -9 where it was killed
    seconds: float
    output: str
    errors: str


def run(
    function: Callable[[], Any],
    folder: Path,
    *,
    kill_after: float | None = None,
    kill_before: int | None = None,
    below: Path | None = None,
    count: Path | None = None,
    limit: float = 300,
) -> Ended:
    """Call a function in a child of its own process group, and return how that ended.

    Args:
        function: called in the child; an exception that it raises is printed with its traceback.
        folder: where the child's output is kept meanwhile.
        kill_after: seconds after which the child's process group is killed.
        kill_before: number, from 0, of the operation on files below `below` before which it is.
        below: directory of these operations.
        count: file that gets the names of all of these operations.
        limit: seconds after which the attack has failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "stdout", folder / "stderr"]
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_child(function, files, kill_before, below, count)
    with suppress(OSError):  # both do, as either may come first
        os.setpgid(child, child)
    status = _wait(child, start, kill_after, limit)
    output, errors = (path.read_text(errors="replace") for path in files)
    return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - start, output, errors)


def _wait(child: int, start: float, kill_after: float | None, limit: float) -> int:
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        age = time.monotonic() - start
        if age > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"the child did not end within {limit} s")
        if kill_after is not None and age > kill_after:
            os.killpg(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.002)


def _be_child(
    function: Callable[[], Any],
    files: list[Path],
    kill_before: int | None,
    below: Path | None,
    count: Path | None,
) -> None:
    """Call the function, and end the process."""
    os.setpgid(0, 0)
    for path, descriptor in zip(files, (1, 2), strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout = open(1, "w", closefd=False, buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    if below is not None:
        sys.addaudithook(_Watch(below, kill_before, count))
    code = 0
    try:
        function()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


class _Watch:
    """An audit hook that counts the changes to files below a directory, and kills before one."""

    def __init__(self, below: Path, kill_before: int | None, count: Path | None) -> None:
        self.below = str(below)
        self.kill_before = kill_before
        self.count = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if count else None
        self.seen = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            changing = flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else 0
            paths = (
                [path] if changing or (isinstance(mode, str) and set(mode) & set("wax+")) else []
            )
        else:
            paths = [arguments[number] for number in CHANGES.get(event, ())]
        if not any(isinstance(p, str | os.PathLike) and self.below in os.fspath(p) for p in paths):
            return
        if self.seen == self.kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count is not None:
            os.write(self.count, f"{event} {paths}\n".encode())
        self.seen += 1
