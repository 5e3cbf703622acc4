"""Record when a result was made, by which code and by which libraries."""

import functools
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from resnet_lab import __version__


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    packages = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core")
    found = {
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        # Not the metadata: they are of the day when an editable copy was installed.
        "resnet-lab": __version__,
    }
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # vendored
            found[package] = "unknown"
    return found


@functools.cache  # it is the code that was imported
def commit() -> str | None:
    """Return the git commit of the source, with `+` where the work tree differs from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None
    return f"{head}+" if dirty.strip() else head


def now() -> str:
    """Return the time, in UTC, as ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
