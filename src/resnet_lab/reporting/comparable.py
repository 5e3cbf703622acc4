"""Which jobs may be ranked together: the same data, the same metric, trained and measured alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnet_lab.reporting.jobs import Job, as_typed

# What decides which images a job learned from and was measured on.
DATA = (
    "data.name", "data.source._target_", "data.source.dataset", "data.root", "data.num_classes",
    "data.val_size", "data.split_seed",
)  # fmt: skip
CHOICES = ("data", "trainer", "experiment", "debug", "monitor")  # overrides that may decide it
# What cuts a job short for a trial or for debugging. A whole number of batches is a limit, 1 too.
LIMITS = (
    "trainer.fast_dev_run", "trainer.overfit_batches", "trainer.limit_train_batches",
    "trainer.limit_val_batches", "trainer.limit_test_batches",
)  # fmt: skip


@dataclass(frozen=True)
class Basis:
    """What jobs must have in common for their values to compare.

    Attributes:
        data: facts of the data set, by key; empty where they are not known.
        limits: what cuts the jobs short, by key; empty for whole runs.
        monitor: the metric; None where it is not known.
    """

    data: tuple[tuple[str, str], ...]
    limits: tuple[tuple[str, str], ...] = ()
    monitor: str | None = None


def comparable(jobs: Sequence[Job]) -> dict[Basis, list[Job]]:
    """Part jobs into those that compare, in the order in which they come.

    A job without a configuration, such as one that has not begun, goes to the jobs that were
    started with the same choice of data and limits.
    """
    known = {job: _basis(job) for job in jobs if job.config}
    by_choice: dict[frozenset[tuple[str, str]], Basis] = {}
    for job, basis in known.items():
        by_choice.setdefault(_choice(job), basis)
    parts: dict[Basis, list[Job]] = {}
    for job in jobs:
        basis = known.get(job) or by_choice.get(_choice(job)) or _basis(job)
        if job.monitor is not None:
            basis = replace(basis, monitor=job.monitor)
        parts.setdefault(basis, []).append(job)
    return _with_monitor(parts)


def described(count: int, basis: Basis, others: Iterable[Basis] = ()) -> str:
    """Say what some jobs are, as far as it tells them from others: `3 limited jobs on mnist`.

    Args:
        count: of the jobs.
        basis: theirs.
        others: of jobs beside them.
    """
    beside = [other for other in others if other != basis]
    words = f"{count} {'limited ' if basis.limits else ''}job{'' if count == 1 else 's'}"
    if any(other.data != basis.data for other in beside):
        words += f" on {_data(basis, beside)}"
    if any(other.monitor != basis.monitor for other in beside):
        words += f" judged by {basis.monitor}"
    if basis.limits:
        words += f" ({', '.join(f'{key}={value}' for key, value in basis.limits)})"
    return words


def _data(basis: Basis, others: Sequence[Basis]) -> str:
    facts = dict(basis.data)
    name = facts.get("data.name", "data that are not recorded")
    alike = [dict(other.data) for other in others if dict(other.data).get("data.name") == name]
    differing = [key for key in facts if any(other.get(key) != facts[key] for other in alike)]
    told = ", ".join(f"{key}={facts[key]}" for key in differing)
    return f"{name} with {told}" if told else name


def _basis(job: Job) -> Basis:
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


def _choice(job: Job) -> frozenset[tuple[str, str]]:
    return frozenset(
        (key, value)
        for key, value in job.settings.items()
        if key in (*CHOICES, *LIMITS) or key.startswith("data.")
    )


def _with_monitor(parts: dict[Basis, list[Job]]) -> dict[Basis, list[Job]]:
    """Put jobs that name no metric to those on the same data that do."""
    merged: dict[Basis, list[Job]] = {}
    for basis, jobs in parts.items():
        like = [other for other in parts if replace(other, monitor=None) == basis]
        named = next((other for other in like if other.monitor is not None), basis)
        merged.setdefault(named if basis.monitor is None else basis, []).extend(jobs)
    return merged
