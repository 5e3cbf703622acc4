"""Record when a result was made, by which code and by which libraries."""

import contextlib
import hashlib
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path

from resnet_lab import __version__
from resnet_lab.core.files import write

PACKAGES, DIFF = "packages.txt", "code.diff"  # in a run directory
LARGEST = 1_000_000  # characters of a difference


@cache
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


def commit() -> str | None:
    """Return the git commit of the source, with `+` where the work tree differs from it."""
    head, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if head is None or dirty is None:  # no git, or no repository
        return None
    return head.strip() + ("+" if dirty.strip() else "")


@cache  # the code that this process runs is that of its start
def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode(errors="replace")


def code_diff() -> str | None:
    """Return what the source differs by from its commit, and names files that git does not know.

    None without a difference; one of more than `LARGEST` characters is cut.
    """
    if not (commit() or "").endswith("+"):
        return None
    status = _git("status", "--porcelain")
    diff = _git("diff", "--no-ext-diff", "--no-color", "HEAD")
    text = "".join(f"# {line}\n" for line in (status or "").splitlines()) + "\n" + (diff or "")
    return text if len(text) <= LARGEST else f"{text[:LARGEST]}\n# cut: {len(text):,} characters\n"


@cache
def packages() -> str:
    """Return every installed package with its version, a line each, as pip takes it."""
    found = {  # by the names of their folders: reading what is in them takes a second
        f"{name}=={version}"
        for entry in sys.path
        for path in Path(entry).glob("*.dist-info")
        for name, _, version in (path.stem.rpartition("-"),)
    }
    return "".join(f"{line}\n" for line in sorted(found, key=str.lower))


def record_code(directory: Path) -> dict[str, str]:
    """Write `packages.txt`, and `code.diff` where there is a difference, into a run directory.

    Returns their SHA-256 by name. A file that cannot be written is left out.
    """
    found = {}
    for name, text in ((PACKAGES, packages()), (DIFF, code_diff())):
        with contextlib.suppress(OSError):
            if text is None:
                (directory / name).unlink(missing_ok=True)  # of an earlier part of the run
            else:
                write(directory / name, text)
                found[name] = hashlib.sha256(text.encode()).hexdigest()
    return found


def now() -> str:
    """Return the time, in UTC, as ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
