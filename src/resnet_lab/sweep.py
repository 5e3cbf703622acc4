"""A sweep directory: many runs, and one record of them.

`sweep.json` says what was asked for and how far each job is. It is replaced atomically, under a
lock, whenever a job starts or ends, by the process that runs that job: whichever launcher started
it, on whichever machine. The truth about a job stays in the job's own run directory.
"""

import json
import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from resnet_lab.config import monitor_mode
from resnet_lab.provenance import now
from resnet_lab.run import OVER, Run, shown, write

log = logging.getLogger(__name__)


class Sweep:
    """A sweep directory that jobs are being run in.

    As a context manager it holds the directory for this process and records how the sweep ended.

    Attributes:
        directory: absolute path.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = FileLock(directory / ".sweeping.lock")
        self._began = time.monotonic()

    @classmethod
    def open(cls, directory: str | Path, config: DictConfig) -> "Sweep":
        """Begin a sweep in a directory, or go on with the one that is there.

        Args:
            directory: new, empty, or an earlier sweep's.
            config: the composed configuration that the jobs have in common.

        Raises:
            ValueError: the directory is something else, or another process sweeps there.
        """
        path = Path(directory).resolve()
        path.mkdir(parents=True, exist_ok=True)
        if not (path / "sweep.json").exists():
            others = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
            if others and not any((entry / "config.yaml").exists() for entry in others):
                raise ValueError(
                    f"{directory} is no sweep directory, and not empty ({others[0].name} is "
                    "there): name another sweep_dir"
                )
        sweep = cls(path)
        try:
            sweep._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{directory} is in use: another process sweeps there; wait, or leave sweep_dir out"
            ) from None
        command = f"python -m resnet_lab.train {shlex.join(sys.argv[1:])}"

        def begin(record: dict[str, Any]) -> None:
            record.setdefault("name", str(config.name))
            record.setdefault("started", now())
            record.setdefault("seconds", 0.0)
            record.setdefault("jobs", [])
            monitor, mode = str(config.monitor), monitor_mode(config)
            record.update(command=command, state="running", monitor=monitor, mode=mode)

        change(path, begin)
        return sweep

    @property
    def shown(self) -> Path:
        """The directory as a person would type it."""
        return shown(self.directory)

    def add(self, jobs: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Enter jobs, each a directory below this one and its overrides; earlier ones stay."""

        def enter(record: dict[str, Any]) -> None:
            known = {entry["directory"]: entry for entry in record["jobs"]}
            for directory, overrides in jobs:
                earlier = known.get(directory)
                if earlier is None:
                    earlier = known[directory] = _entry(directory, overrides)
                    record["jobs"].append(earlier)
                if (self.directory / directory / "status.json").exists():
                    _take_over(earlier, Run.load(self.directory / directory).status)
                if earlier["state"] not in OVER:
                    earlier.update(state="pending", error=None)

        change(self.directory, enter)

    def states(self) -> dict[str, str]:
        """Return the state of every job by its directory."""
        return {entry["directory"]: entry["state"] for entry in load(self.directory)["jobs"]}

    def __enter__(self) -> "Sweep":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        def end(record: dict[str, Any]) -> None:
            record["state"] = (
                "done" if kind is None or issubclass(kind, Exception) else "interrupted"
            )
            record["seconds"] = round(record["seconds"] + time.monotonic() - self._began, 3)

        change(self.directory, end)
        self._lock.release()
        if kind is not None and not issubclass(kind, Exception):
            again = f"the same command with sweep_dir={shlex.quote(str(self.shown))}"
            print(f"interrupted; to go on: {again}", file=sys.stderr)


def load(directory: Path) -> dict[str, Any]:
    """Read `sweep.json`.

    Raises:
        ValueError: it is missing or damaged.
    """
    path = directory / "sweep.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{directory} is no sweep directory: it holds no sweep.json") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return record


def change(directory: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change `sweep.json`: one process at a time, and readers see the old file or the new one."""
    with FileLock(directory / ".sweep.lock"):
        path = directory / "sweep.json"
        record = load(directory) if path.exists() else {}
        edit(record)
        record["updated"] = now()
        write(path, json.dumps(record, indent=2) + "\n")


def note(run: Run) -> None:
    """Enter the state of a job into the record of its sweep; a run outside a sweep has none."""
    if not (run.directory.parent / "sweep.json").exists():
        return

    def enter(record: dict[str, Any]) -> None:
        known = {entry["directory"]: entry for entry in record["jobs"]}
        entry = known.get(run.directory.name)
        if entry is None:
            entry = _entry(run.directory.name, run.status.get("overrides", []))
            record["jobs"].append(entry)
        _take_over(entry, run.status)

    change(run.directory.parent, enter)


def announce(directory: Path) -> None:
    """Say which job of its sweep begins."""
    record = load(directory.parent)
    jobs = record["jobs"]
    total = record.get("trials", len(jobs))  # a search enters its jobs as it goes
    names = distinct([entry["overrides"] for entry in jobs])
    for number, (entry, name) in enumerate(zip(jobs, names, strict=True), 1):
        if entry["directory"] == directory.name:
            log.info("\njob %d of %d: %s", number, total, name)


def distinct(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Name each job by those of its overrides that not all jobs have."""
    shared = set(jobs[0]).intersection(*jobs) if len(jobs) > 1 else set()
    return [" ".join(item for item in job if item not in shared) or "default" for job in jobs]


def _entry(directory: str, overrides: Sequence[str]) -> dict[str, Any]:
    return {
        "directory": directory,
        "overrides": list(overrides),
        "state": "pending",
        "metric": None,
        "test": None,
        "seconds": None,
        "error": None,
    }


def _take_over(entry: dict[str, Any], status: dict[str, Any]) -> None:
    entry.update(
        state=status.get("state", "pending"),
        metric=status.get("best", {}).get("value"),
        test=status.get("test", {}).get("acc"),
        seconds=status.get("seconds"),
        error=status.get("error"),
    )
