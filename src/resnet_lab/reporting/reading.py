"""Read sweep directories, with jobs in any state."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnet_lab.core.text import printable, printable_values
from resnet_lab.reporting.run_record import RunRecord, result_settings
from resnet_lab.runs.trained.run import STATES

DEEPEST = 4  # most directory levels between a given directory and its runs


@dataclass(frozen=True)
class Results:
    """All jobs below the given directories."""

    directories: tuple[Path, ...]  # the given ones
    jobs: tuple[RunRecord, ...]  # in the order of their launch, where that is known
    about: tuple[Mapping[str, Any], ...]  # content of each `sweep.json`
    disk: int  # size on disk in bytes
    checkpoints: int  # bytes of that in checkpoints

    @property
    def name(self) -> str:
        """The names of the directories."""
        return " + ".join(printable(directory.name) for directory in self.directories)

    def shown(self, job: RunRecord) -> str:
        """Return the directory of a job relative to the given one."""
        for root in self.directories:
            if root in job.directory.parents:
                return printable(job.directory.relative_to(root))
        return printable(job.directory.name)

    def trials(self, among: Sequence[RunRecord]) -> list[RunRecord]:
        """Return jobs in the order of their launch if a search chose their values, else none."""
        search = any(about.get("search") for about in self.about)
        return [job for job in self.jobs if job in among] if search else []

    @property
    def states(self) -> dict[str, int]:
        """The number of jobs by state, without states that do not occur."""
        counts = {state: sum(job.state == state for job in self.jobs) for state in STATES}
        return {state: count for state, count in counts.items() if count}


def entries_of(directory: Path, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of jobs of a `sweep.json` whose run directory is inside the sweep's.

    A sweep may come from elsewhere, so no entry may lead out of it.
    """
    entries = record.get("jobs")
    links = {path.name for path in directory.glob("*") if path.is_symlink()}
    return [
        entry
        for entry in (entries if isinstance(entries, list) else ())
        if _is_entry(entry) and entry["directory"] not in links
    ]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    name, overrides = entry.get("directory"), entry.get("overrides")
    if not isinstance(name, str) or not isinstance(overrides, list):
        return False
    return "/" not in name and "\0" not in name and name not in ("", ".", "..")


def read_results(directories: Sequence[str | Path]) -> Results:
    """Read directories of sweeps, of runs, or runs themselves into one result.

    Raises:
        ValueError: a directory does not exist or contains no run.
    """
    jobs: dict[Path, RunRecord] = {}
    roots: list[Path] = []
    about: list[Mapping[str, Any]] = []
    for given in directories:
        root = Path(given).resolve()
        if not root.is_dir():
            raise ValueError(f"{given}: no such directory; sweeps are in logs/sweeps")
        record = _read_json(root / "sweep.json")
        listed = [_listed(root, entry) for entry in entries_of(root, record)]
        found = {path: _job(path) for path in _run_directories(root)}
        if not listed and not found:
            raise ValueError(f"{given}: there is no run in it; name a directory of logs/sweeps")
        if not listed:
            found = dict(
                sorted(found.items(), key=lambda item: str(item[1].status.get("started", "")))
            )
        jobs |= {job.directory: _known(job, found.pop(job.directory, None)) for job in listed}
        jobs |= found
        if root not in roots:
            roots.append(root)
            about += [printable_values(record)] if record else []
    disk, checkpoints = _bytes(roots)
    return Results(tuple(roots), tuple(jobs.values()), tuple(about), disk, checkpoints)


def _run_directories(root: Path, depth: int = 0) -> Iterator[Path]:
    if any((root / name).is_file() for name in ("config.yaml", "status.json")):
        yield root
    elif depth < DEEPEST:
        for path in sorted(root.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield from _run_directories(path, depth + 1)


def _job(directory: Path) -> RunRecord:
    path = directory / "status.json"
    try:
        status = printable_values(json.loads(path.read_text()))
        if not isinstance(status, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:  # the run is just starting
        status = {"state": "running"}
    except (ValueError, RecursionError, OSError) as error:
        status = {"state": "failed", "error": f"status.json is damaged: {error}"}
    state = status.get("state")
    if state not in STATES:
        status = {**status, "error": f"status.json has an unknown state: {state}"}
        state = "failed"
    if state == "running" and not in_use(directory / ".lock"):
        state = "interrupted"
    return RunRecord(directory, state, result_settings(status.get("overrides")), status)


def _listed(root: Path, entry: Mapping[str, Any]) -> RunRecord:
    """Create the record of a job from its entry in `sweep.json`."""
    state = entry.get("state")
    overrides = printable_values(entry.get("overrides"))
    status = {"error": entry.get("error"), "seconds": entry.get("seconds"), "overrides": overrides}
    settings = result_settings(overrides)
    return RunRecord(
        root / entry["directory"], state if state in STATES else "pending", settings, status
    )


def _known(listed: RunRecord, found: RunRecord | None) -> RunRecord:
    """Merge what the sweep and the run directory know; the run directory takes precedence."""
    if found is None:
        return listed
    if "overrides" in found.status:
        return found
    status = {**found.status, "overrides": listed.status["overrides"]}
    return replace(found, settings=listed.settings, status=status)


def in_use(path: Path) -> bool:
    """Whether a process holds the lock of a run or a sweep; True if that is unknown."""
    if path.is_symlink() or not path.is_file():  # a link's target would be opened to write
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _read_json(path: Path) -> Mapping[str, Any]:
    """Read `sweep.json`; empty if there is none that can be read."""
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def _bytes(roots: Sequence[Path]) -> tuple[int, int]:
    """Return the size of all files and of the checkpoints; hard links count once."""
    sizes: dict[tuple[int, int], tuple[int, bool]] = {}
    for root in roots:
        for directory, _, names in os.walk(root):
            for name in names:
                try:
                    entry = (Path(directory) / name).lstat()
                except FileNotFoundError:  # a running job has just replaced it
                    continue
                sizes[entry.st_dev, entry.st_ino] = entry.st_size, name.endswith(".ckpt")
    total = sum(size for size, _ in sizes.values())
    return total, sum(size for size, is_checkpoint in sizes.values() if is_checkpoint)
