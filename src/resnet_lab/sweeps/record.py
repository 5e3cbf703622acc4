"""`sweep.json`: what a sweep was asked for, and how far each of its jobs is.

The truth about a job stays in its own run directory. So a record that is missing or damaged is made
again from those, and an entry is believed only where its directory says nothing else.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from resnet_lab.core.config import is_finite_number
from resnet_lab.core.directions import headline
from resnet_lab.core.provenance import now
from resnet_lab.reporting.reading import is_entry
from resnet_lab.runs.run import OVER, write

FILE = "sweep.json"
LOCK = ".sweep.lock"  # held while the record changes
STATES = ("pending", "running", "failed", "interrupted", *OVER)


def is_sweep(directory: Path) -> bool:
    """Whether a directory is a sweep's, also where its record was deleted."""
    return any((directory / name).exists() for name in (FILE, LOCK))


def load(directory: Path) -> dict[str, Any]:
    """Read the record of a sweep, or make it again from the runs that are there."""
    try:
        record = json.loads((directory / FILE).read_text())
        if isinstance(record, dict) and isinstance(record.get("jobs"), list):
            entries = [entry for entry in record["jobs"] if is_entry(directory, entry)]
            record["jobs"] = entries or _made_again(directory)["jobs"]
            return record
    except (OSError, ValueError):
        pass  # it is missing or damaged
    return _made_again(directory)


def change(directory: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the record: one process at a time, and readers see the old file or the new one."""
    with FileLock(directory / LOCK):
        record = load(directory)
        edit(record)
        record["updated"] = now()
        write(directory / FILE, json.dumps(record, indent=2) + "\n")


def new_entry(directory: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the entry of a job that has not begun."""
    return {
        "directory": directory,
        "overrides": list(overrides),
        "state": "pending",
        "metric": None,
        "test": None,
        "seconds": None,
        "error": None,
    }


def refresh(directory: Path, entry: dict[str, Any]) -> None:
    """Bring the entry of a job up to what its run directory says."""
    status = read_status(directory / entry["directory"])
    if status is not None:
        take_over(entry, status)
    elif entry.get("state") != "failed":  # that of a job which died before it could write any
        entry.update(new_entry(entry["directory"], entry["overrides"]))


def take_over(entry: dict[str, Any], status: dict[str, Any]) -> None:
    """Bring the entry of a job up to its `status.json`."""
    test = _part(status, "test")
    entry.update(
        state=status.get("state", "pending"),
        metric=_part(status, "best").get("value"),
        test=test.get(headline(test or {"acc": None}, _part(status, "best").get("monitor"))),
        seconds=status.get("seconds"),
        error=status.get("error"),
    )


def read_status(run: Path) -> dict[str, Any] | None:
    """Return the content of a run's `status.json`; None where there is none.

    One that is damaged gives that of a failed run, with an entry `damaged`.
    """
    try:
        status = json.loads((run / "status.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        why = str(error)
    else:
        if isinstance(status, dict) and status.get("state") in STATES:
            return status
        why = "it names no state of a run"
    told = f"status.json is damaged: {why}; delete {run.name} to train the job again"
    return {"state": "failed", "error": told, "damaged": True}


def best_value(status: dict[str, Any]) -> float | None:
    """Return the best value of `monitor` that a run came to."""
    value = _part(status, "best").get("value")
    return value if is_finite_number(value) else None


def _part(status: dict[str, Any], name: str) -> dict[str, Any]:
    part = status.get(name)
    return part if isinstance(part, dict) else {}


def _made_again(directory: Path) -> dict[str, Any]:
    jobs: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        status = None if path.is_symlink() else read_status(path)
        if status is not None:
            overrides = status.get("overrides")
            entry = new_entry(path.name, overrides if isinstance(overrides, list) else [])
            take_over(entry, status)
            jobs.append((str(status.get("started", "9")), entry))
    jobs.sort(key=lambda job: job[0])
    record: dict[str, Any] = {"jobs": [entry for _, entry in jobs]}
    if (directory / "search.db").exists():  # it has a study
        record["search"] = True
    return record
