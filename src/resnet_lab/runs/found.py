"""Claim a directory for a run, and restore it as it was found if the run is refused."""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_lab.core.configuration.config import made_here
from resnet_lab.core.files import replacing
from resnet_lab.core.provenance import DIFF, PACKAGES

RECORDS = ("config.yaml", "status.json", PACKAGES, DIFF)


class Found:
    """The content of a directory before a run, for `restore`.

    Args:
        directory: need not exist; one that this process made counts as one that did not.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        there = directory.is_dir()
        self._names = {path.name for path in directory.iterdir()} if there else set()
        self._keep = bool(self._names) or (there and not made_here(directory))
        records = (directory / name for name in RECORDS)
        self._content = {path: path.read_bytes() for path in records if path.name in self._names}

    def restore(self) -> None:
        """Remove the files that were added, and restore those that were changed."""
        for path, content in self._content.items():
            if not path.exists() or path.read_bytes() != content:
                with replacing(path) as part:
                    part.write_bytes(content)
        for path in self.directory.iterdir():
            if path.name not in self._names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not self._keep:
            self.directory.rmdir()


def claim(directory: str | Path) -> FileLock:
    """Make a directory where there is none, and return its lock, held by this process.

    Raises:
        ValueError: another process holds it.
    """
    path = Path(directory).resolve()
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0.2)  # a report may be looking at it
    except Timeout:
        raise ValueError(
            f"{directory} is in use: another process trains there; wait, or leave run_dir out"
        ) from None
    return lock
