"""Read and change `sweep.json`: the command of a sweep, its jobs, and how each ended.

The run directory of a job counts. The record is written when a sweep begins and when it ends, not
for each job: a thousand jobs would write a thousand entries a thousand times. One that is missing
or damaged is rebuilt from the run directories.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from resnet_lab.core.configuration.config import is_finite_number
from resnet_lab.core.directions import headline
from resnet_lab.core.files import as_json, write
from resnet_lab.core.provenance import now
from resnet_lab.reporting.reading import entries_of
from resnet_lab.runs.trained.run import OVER, STATES

FILE = "sweep.json"
LOCK = ".sweep.lock"  # held while the record changes
SWEEPING = ".sweeping.lock"  # held by the process that runs the jobs, or waits for them
SUBMITTED = "submitted"  # state of a sweep whose jobs a cluster runs, with no process that waits


def is_sweep(directory: Path) -> bool:
    """Whether a directory is a sweep's, even if its record was deleted."""
    return any((directory / name).exists() for name in (FILE, LOCK))


def load(directory: Path) -> dict[str, Any]:
    """Read the record of a sweep, or rebuild it from the runs that are there."""
    try:
        record = json.loads((directory / FILE).read_text())
        if isinstance(record, dict) and isinstance(record.get("jobs"), list):
            record["jobs"] = entries_of(directory, record) or _rebuilt(directory)["jobs"]
            return record
    except (OSError, ValueError):
        pass  # it is missing or damaged
    return _rebuilt(directory)


@contextmanager
def change(directory: Path) -> Iterator[dict[str, Any]]:
    """Give the record to be changed, under a lock; readers see the old file or the new one."""
    with FileLock(directory / LOCK):
        record = load(directory)
        yield record
        record["updated"] = now()
        # A line a job: that is four times as fast as indenting all, and a search does it often.
        jobs = ",\n    ".join(as_json(entry) for entry in record.pop("jobs"))
        rest = as_json(record, indent=2).removesuffix("\n}")
        write(directory / FILE, f'{rest},\n  "jobs": [\n    {jobs}\n  ]\n}}\n')


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


def current(directory: Path) -> dict[str, Any]:
    """Read the record of a sweep, with the state of each job as its run directory has it now."""
    record = load(directory)
    for entry in record["jobs"]:
        refresh(directory, entry)
    return record


def outcome(record: dict[str, Any], states: Iterable[str] = ()) -> str | None:
    """Return how a sweep ended, "done" or "failed"; None: some jobs have not ended.

    `states` are those of the jobs; empty: those of the record.
    """
    states = set(states) or {entry["state"] for entry in record["jobs"]}
    if not states <= {*OVER, "failed"}:
        return None
    failed = "failed" in states and not record.get("search")  # a search may have failed trials
    return "failed" if failed else "done"


def refresh(directory: Path, entry: dict[str, Any]) -> None:
    """Update the entry of a job from its run directory."""
    status = read_status(directory / entry["directory"])
    if status is not None:
        take_over(entry, status)
    elif entry.get("state") != "failed":  # a job that died before it wrote a status
        entry.update(new_entry(entry["directory"], entry["overrides"]))


def take_over(entry: dict[str, Any], status: dict[str, Any]) -> None:
    """Update the entry of a job from its status."""
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

    A damaged one gives the status of a failed run, with an entry `damaged`.
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
    """Return the best value of `monitor` of a run."""
    value = _part(status, "best").get("value")
    return value if is_finite_number(value) else None


def _part(status: dict[str, Any], name: str) -> dict[str, Any]:
    part = status.get(name)
    return part if isinstance(part, dict) else {}


def _rebuilt(directory: Path) -> dict[str, Any]:
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
