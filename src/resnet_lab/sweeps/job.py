"""One job of a sweep: its overrides, the directory named after them, and its run."""

import hashlib
import json
import logging
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.configuration.config import bears_on_result, override_key
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.trained.run import Run

log = logging.getLogger(__name__)

NAME_BYTES = 255  # of a file name, on any file system


class Job(NamedTuple):
    """One job of a sweep."""

    directory: str  # below the sweep's
    overrides: list[str]


def find_job(config: DictConfig, overrides: Sequence[str]) -> Job:
    """Return a job with its directory, which follows from its overrides."""
    style = OmegaConf.select(config, "hydra.sweeper.dirname", default="long")
    return Job(job_dir(overrides, config.sweep_dir, style), list(overrides))


def find_jobs(config: DictConfig, overrides: Iterable[Sequence[str]]) -> list[Job]:
    """Return the jobs with their directories; jobs with the same result are one, with a warning.

    Raises a ValueError if the short names of two jobs are the same.
    """
    given = [find_job(config, each) for each in overrides]
    jobs: dict[str, Job] = {}
    differ: set[str] = set()  # keys by which jobs of one result differ
    for job in given:
        first = jobs.setdefault(job.directory, job)
        if result_overrides(first.overrides) != result_overrides(job.overrides):
            raise ValueError(
                f"hydra.sweeper.dirname=short: two jobs would be called {job.directory}; use long"
            )
        differ |= set(map(override_key, set(first.overrides) ^ set(job.overrides)))
    if len(jobs) < len(given):
        keys = " and ".join(sorted(differ))
        why = f"differ only in {keys}, which no result depends on" if differ else "are the same"
        log.warning("%d of %d jobs are run: the others %s", len(jobs), len(given), why)
    return list(jobs.values())


def returned(job: Job, value: float | Exception | None) -> JobReturn:
    """Return to Hydra the result of a job that ran in another process."""
    failed = isinstance(value, Exception)
    result = JobReturn(
        overrides=job.overrides, status=JobStatus.FAILED if failed else JobStatus.COMPLETED
    )
    result.return_value = value
    return result


def job_dir(overrides: Sequence[str], sweep_dir: str | None = None, dirname: str = "long") -> str:
    """Name the directory of a job after its overrides; different jobs get different names.

    The name depends on the job's own overrides alone, so that jobs may be added to a sweep later.
    It is the overrides themselves where a file name can hold them, elsewhere the first part of them
    and a hash; a "short" one has the last part of each key: `depth=20` for `model.depth=20`. Jobs
    of a `sweep_dir` of version 0.1, or with the other `dirname`, keep their directories.
    """
    told = result_overrides(overrides)
    long, short = _long(told, sweep_dir), _short(told)
    for name in (short, long):
        if name is not None and told and _overrides_in(sweep_dir, name) == told:
            return name
    return short if dirname == "short" and short is not None else long


def _short(told: Sequence[str]) -> str | None:
    """Name a job by the last part of each key; None: that is no file name, or two keys share it."""
    named = {}
    for item in told:
        key, _, value = item.partition("=")
        named[override_key(key).rpartition(".")[2]] = value
    name = ",".join(f"{key}={value}" for key, value in named.items())
    fits = name and name.isprintable() and "/" not in name and len(name.encode()) <= NAME_BYTES
    return name if fits and len(named) == len(told) else None


def _long(told: Sequence[str], sweep_dir: str | None) -> str:
    """Name a job by its overrides."""
    whole = ",".join(told) or "default"
    name = "".join("_" if char == "/" or not char.isprintable() else char for char in whole)
    if name == whole and len(name) <= 150 and len(name.encode()) <= NAME_BYTES:
        if _overrides_in(sweep_dir, name) in (told, []):
            return name
    else:
        before = ",".join(sorted(told)).replace("/", "_")
        if len(before) > 150:
            before = f"{before[:140]}-{zlib.crc32(before.encode(errors='replace')):08x}"
        if _overrides_in(sweep_dir, before) == told:
            return before
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name.encode()[:130].decode(errors='ignore')}-{digest}"


def result_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that results depend on, sorted by key."""
    told = [item for item in overrides if bears_on_result(override_key(item))]
    return sorted(told, key=lambda item: item.partition("=")[0] + "=")


def _overrides_in(sweep_dir: str | None, job: str) -> list[str]:
    """Return the `result_overrides` of the job in a directory; none where they are not recorded."""
    if sweep_dir is None:
        return []
    try:
        status = json.loads(Path(sweep_dir, job, "status.json").read_text())
        return result_overrides([item for item in status["overrides"] if isinstance(item, str)])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def prepare(directory: Path, config: DictConfig, overrides: Sequence[str]) -> None:
    """Make a run directory in which another process is to train; see `ActiveRun.open`."""
    with closing(ActiveRun.open(directory, config, overrides)) as run:
        run.update(state=run.status.get("state", "pending"))


def mark_failed(directory: Path, error: str, printed: str = "") -> None:
    """Record the failure of a run whose process died before it could; `printed` is for its log."""
    with closing(ActiveRun.open(directory, Run.load(directory).config)) as run:
        with (run.directory / "train.log").open("a") as log:
            log.write(f"{printed}\n{error}\n")
        run.update(state="failed", error=error)
