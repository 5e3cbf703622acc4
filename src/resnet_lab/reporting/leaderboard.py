"""The leaderboard: jobs grouped by what was swept but the seed, ranked, compared with the best."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from resnet_lab.config import mode_of
from resnet_lab.reporting.jobs import Job, as_number
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.statistics import LEVEL, Difference, Spread, difference, holm, spread


@dataclass(frozen=True)
class Metric:
    """What ranks the groups."""

    name: str  # such as val/acc

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a share, shown in percent."""
        return not self.name.split("/")[-1].startswith("loss")

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if mode_of(self.name) == "max" else -1

    @property
    def unit(self) -> str:
        """The unit of the values that are shown."""
        return "%" if self.is_accuracy else "nats"

    def shown(self, value: float) -> str:
        """Format a value: percent for a share."""
        return f"{100 * value:.2f}" if self.is_accuracy else f"{value:.4f}"


@dataclass(frozen=True, eq=False)
class Group:
    """The jobs that differ in their seed alone.

    Attributes:
        settings: value of each swept key.
        jobs: all of them, whatever their state.
        ranked: those that are done and have a value of the metric, one for each seed.
        metric: of those; None where there are none.
        test: accuracy on the test split, of those.
        seconds: mean time of training, of those.
        best: the job with the best value.
        against_best: the test against the best group, p corrected for their number; None for the
            best group and where no test is possible.
        verdict: what that says, in words.
    """

    settings: Mapping[str, str]
    jobs: tuple[Job, ...]
    ranked: tuple[Job, ...]
    metric: Spread | None
    test: Spread | None
    seconds: float | None
    best: Job | None
    against_best: Difference | None = None
    verdict: str = ""

    @property
    def label(self) -> str:
        """What tells the group from the others, short: `lr=0.1, depth=20`."""
        names = short_names(list(self.settings))
        values = (f"{names[key]}={short(value)}" for key, value in self.settings.items())
        return ", ".join(values) or "all"

    @property
    def unfinished(self) -> str:
        """The jobs that are not done, counted by state."""
        counts = Counter(job.state for job in self.jobs if job not in self.ranked)
        counts["without a value"] = counts.pop("done", 0)
        return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


@dataclass(frozen=True)
class Leaderboard:
    """Groups from best to worst; those without a result come last.

    Attributes:
        metric: that ranks them.
        keys: the swept keys but the seed.
        shared: overrides that all jobs have in common.
        groups: ranked.
        repeated: jobs left out since a later one has the same settings and seed.
        others: jobs left out since another metric chose their best epoch.
    """

    metric: Metric
    keys: tuple[str, ...]
    shared: Mapping[str, str]
    groups: tuple[Group, ...]
    repeated: tuple[Job, ...]
    others: tuple[Job, ...]

    @property
    def ranked(self) -> tuple[Group, ...]:
        """The groups that have a result."""
        return tuple(group for group in self.groups if group.metric)

    def numbers(self, key: str) -> list[float] | None:
        """Return the different values of a key in order, or None if they are not all numbers."""
        values = {as_number(group.settings[key]) for group in self.groups}
        numbers = sorted(value for value in values if value is not None)
        return numbers if len(numbers) == len(values) else None


def rank(results: Results, monitor: str | None = None) -> Leaderboard:
    """Group the jobs of a sweep, rank the groups and hold each to the best.

    Args:
        results: to rank.
        monitor: the metric that ranks; None: the one of most jobs.

    Raises:
        ValueError: no job has that monitor.
    """
    known = Counter(job.monitor for job in results.jobs if job.monitor)
    told = [str(about["monitor"]) for about in results.about if about.get("monitor")]
    if monitor is not None and monitor not in known:
        there = ", ".join(known) or "none yet"
        raise ValueError(f"--monitor {monitor}: no job was judged by it; there are {there}")
    names = [monitor, *(name for name, _ in known.most_common(1)), *told, "result"]
    metric = Metric(next(name for name in names if name))
    others = [job for job in results.jobs if job.monitor not in (None, metric.name)]
    jobs = [job for job in results.jobs if job not in others]
    swept, shared = _swept(jobs)
    grouped: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        grouped.setdefault(tuple(job.setting(key) for key in swept), []).append(job)
    groups, repeated = [], []
    for values, members in grouped.items():
        ranked, rest = _one_a_seed(members)
        repeated += rest
        left = tuple(job for job in members if job not in rest)
        groups.append(_group(dict(zip(swept, values, strict=True)), left, ranked, metric))
    groups.sort(key=lambda group: _order(group, metric))
    return Leaderboard(
        metric, tuple(swept), shared, tuple(_judged(groups)), tuple(repeated), tuple(others)
    )


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted key, or the whole where that is not unique."""
    last = Counter(key.split(".")[-1] for key in keys)
    return {key: key.split(".")[-1] if last[key.split(".")[-1]] == 1 else key for key in keys}


def short(value: str) -> str:
    """Return a value with at most four digits that count."""
    number = as_number(value)
    return value if number is None or len(value) <= 6 else f"{number:.4g}"


def _swept(jobs: Sequence[Job]) -> tuple[list[str], dict[str, str]]:
    """Return the keys whose values differ between jobs, and the shared settings."""
    keys = list(dict.fromkeys(key for job in jobs for key in job.settings))
    values = {key: {job.setting(key) for job in jobs} for key in keys}
    swept = [key for key in keys if len(values[key]) > 1]
    return swept, {key: jobs[0].setting(key) for key in keys if key not in swept}


def _one_a_seed(jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs with a result, the latest of each seed, and what is left out for that.

    The same seed twice is no second sample: the spread would come out too small.
    """
    latest: dict[object, Job] = {}
    repeated = []
    for job in sorted(jobs, key=lambda job: str(job.status.get("updated", ""))):
        if job.state == "done" and job.value is not None:
            if job.sample in latest:
                repeated.append(latest[job.sample])
            latest[job.sample] = job
    return [job for job in jobs if job in latest.values()], repeated


def _group(
    settings: Mapping[str, str], jobs: tuple[Job, ...], ranked: Sequence[Job], metric: Metric
) -> Group:
    values = {job: job.value for job in ranked if job.value is not None}
    tests = [job.test for job in ranked if job.test is not None]
    times = [job.seconds for job in ranked if job.seconds is not None]
    bounds = (0.0, 1.0) if metric.is_accuracy else None
    return Group(
        settings,
        jobs,
        tuple(ranked),
        metric=spread(list(values.values()), bounds) if values else None,
        test=spread(tests, (0.0, 1.0)) if tests else None,
        seconds=sum(times) / len(times) if times else None,
        best=max(values, key=lambda job: metric.sign * values[job]) if values else None,
    )


def _order(group: Group, metric: Metric) -> tuple[bool, float]:
    return group.metric is None, -metric.sign * group.metric.mean if group.metric else 0.0


def _judged(groups: Sequence[Group]) -> list[Group]:
    """Hold every group to the first, by their values of each seed."""
    if not groups or groups[0].metric is None:
        return list(groups)
    best, *others = groups
    tests = [difference(_by_seed(best), _by_seed(group)) for group in others]
    made = [test for test in tests if test is not None]
    corrected = iter(holm([test.p for test in made]))
    judged = [replace(best, verdict="best")]
    for group, test in zip(others, tests, strict=True):
        if test is not None:
            p = next(corrected)
            verdict = "worse" if p < LEVEL else "not distinguishable"
            judged.append(replace(group, against_best=Difference(test.test, p), verdict=verdict))
        elif group.metric is None:
            judged.append(replace(group, verdict="no result"))
        elif 1 in (len(best.ranked), len(group.ranked)):
            judged.append(replace(group, verdict="one seed: cannot tell"))
        else:
            judged.append(replace(group, verdict="no spread: cannot tell"))
    return judged


def _by_seed(group: Group) -> dict[object, float]:
    return {job.sample: job.value for job in group.ranked if job.value is not None}
