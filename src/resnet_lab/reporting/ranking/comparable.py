"""Which jobs may be ranked together: those with the same data, limits and metric."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnet_lab.reporting.run_record import RunRecord, as_typed

# Keys that decide which images a job was trained and evaluated on.
DATA = (
    "data.name", "data.source._target_", "data.source.dataset", "data.root", "data.file",
    "data.options.split", "data.num_classes", "data.val_size", "data.split_seed", "data.folds",
)  # fmt: skip
CHOICES = ("data", "trainer", "experiment", "debug", "monitor")  # overrides that may decide it
# Keys that cut a job short for debugging. An integer is a number of batches, so 1 is a limit too.
LIMITS = (
    "trainer.fast_dev_run", "trainer.overfit_batches", "trainer.limit_train_batches",
    "trainer.limit_val_batches", "trainer.limit_test_batches",
)  # fmt: skip


@dataclass(frozen=True)
class Basis:
    """What jobs must have in common to be compared."""

    data: tuple[tuple[str, str], ...]  # facts of the data set, by key; empty if unknown
    limits: tuple[tuple[str, str], ...] = ()  # what cuts jobs short; empty: full runs
    monitor: str | None = None  # the metric; None if unknown


def comparable(jobs: Sequence[RunRecord]) -> dict[Basis, list[RunRecord]]:
    """Split jobs into sets that compare, in order of appearance.

    A job without a configuration, such as a pending one, joins the jobs that were started with the
    same overrides of data and limits.
    """
    known = {job: _basis(job) for job in jobs if job.config}
    by_choice: dict[frozenset[tuple[str, str]], Basis] = {}
    for job, basis in known.items():
        by_choice.setdefault(_choice(job), basis)
    parts: dict[Basis, list[RunRecord]] = {}
    for job in jobs:
        basis = known.get(job) or by_choice.get(_choice(job)) or _basis(job)
        if job.monitor is not None:
            basis = replace(basis, monitor=job.monitor)
        parts.setdefault(basis, []).append(job)
    return _with_monitor(parts)


def described(count: int, basis: Basis, others: Iterable[Basis] = ()) -> str:
    """Describe jobs by how they differ from others: `3 limited jobs on mnist`."""
    beside = [other for other in others if other != basis]
    words = f"{count} {'limited ' if basis.limits else ''}job{'' if count == 1 else 's'}"
    if any(other.data != basis.data for other in beside):
        words += f" on {_data(basis, beside)}"
    if any(other.monitor != basis.monitor for other in beside):
        words += f" with monitor {basis.monitor}"
    if basis.limits:
        words += f" ({', '.join(f'{key}={value}' for key, value in basis.limits)})"
    return words


def _data(basis: Basis, others: Sequence[Basis]) -> str:
    facts = dict(basis.data)
    name = facts.get("data.name", "unrecorded data")
    alike = [dict(other.data) for other in others if dict(other.data).get("data.name") == name]
    differing = [key for key in facts if any(other.get(key) != facts[key] for other in alike)]
    details = ", ".join(f"{key}={facts[key]}" for key in differing)
    return f"{name} with {details}" if details else name


def _basis(job: RunRecord) -> Basis:
    config = job.config
    facts = {key: config[key] for key in DATA if config.get(key) is not None}
    if "data" in job.settings:
        facts.setdefault("data.name", job.settings["data"])
    monitor = job.monitor or config.get("monitor")
    return Basis(
        tuple((key, as_typed(value)) for key, value in facts.items()),
        tuple((key, as_typed(config[key])) for key in LIMITS if _limits(key, config)),
        monitor if isinstance(monitor, str) else None,
    )


def _limits(key: str, config: Mapping[str, Any]) -> bool:
    value = config.get(key)
    if key.startswith("trainer.limit"):
        return value is not None and not (isinstance(value, float) and value == 1.0)
    return bool(value)


def _choice(job: RunRecord) -> frozenset[tuple[str, str]]:
    return frozenset(
        (key, value)
        for key, value in job.settings.items()
        if key in (*CHOICES, *LIMITS) or key.startswith("data.")
    )


def _with_monitor(parts: dict[Basis, list[RunRecord]]) -> dict[Basis, list[RunRecord]]:
    """Merge jobs without a metric into those on the same data that have one."""
    merged: dict[Basis, list[RunRecord]] = {}
    for basis, jobs in parts.items():
        like = [other for other in parts if replace(other, monitor=None) == basis]
        named = next((other for other in like if other.monitor is not None), basis)
        merged.setdefault(named if basis.monitor is None else basis, []).extend(jobs)
    return merged
