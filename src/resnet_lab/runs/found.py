"""A directory as a run finds it, to leave it like that when the run is refused."""

import shutil
from pathlib import Path

from resnet_lab.core.config import made_here
from resnet_lab.runs.run import replacing


class Found:
    """A directory as it is found, to leave it like that if nothing comes of the run.

    Args:
        directory: it need not exist; and if this process made it, it is as if it did not.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        there = directory.is_dir()
        self._names = {path.name for path in directory.iterdir()} if there else set()
        self._keep = bool(self._names) or (there and not made_here(directory))
        records = (directory / name for name in ("config.yaml", "status.json"))
        self._content = {path: path.read_bytes() for path in records if path.name in self._names}

    def restore(self) -> None:
        """Take out what has been added, and put back what was changed."""
        for path, content in self._content.items():
            if path.read_bytes() != content:
                with replacing(path) as part:
                    part.write_bytes(content)
        for path in self.directory.iterdir():
            if path.name not in self._names:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not self._keep:
            self.directory.rmdir()
