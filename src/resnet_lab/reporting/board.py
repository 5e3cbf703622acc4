"""What a leaderboard is made of: a metric, and groups of jobs that differ in their seed alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnet_lab.reporting.comparable import Basis
from resnet_lab.reporting.jobs import Job, as_number
from resnet_lab.reporting.statistics import Difference, Spread

LARGE = 1e5  # from which a loss is no number to read digit by digit


@dataclass(frozen=True)
class Metric:
    """What ranks the groups."""

    name: str  # such as val/acc
    mode: str  # "max" where more is better, else "min"

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a share of right answers, shown in percent."""
        return self.name.split("/")[-1].startswith("acc")

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1

    @property
    def unit(self) -> str:
        """The unit of the values that are shown; empty where that is not known."""
        if self.is_accuracy:
            return "%"
        return "nats" if self.name.split("/")[-1].startswith("loss") else ""

    def with_unit(self, what: str) -> str:
        """Return the name of a column or an axis, with the unit."""
        return f"{what} ({self.unit})" if self.unit else what

    def shown(self, value: float) -> str:
        """Format a value: percent for a share."""
        if self.is_accuracy:
            return f"{100 * value:.2f}"
        return f"{value:.4f}" if abs(value) < LARGE else f"{value:.4g}"

    def deviation(self, value: float, digits: int | None = None) -> str:
        """Format a standard deviation; one that is not 0 never looks like it."""
        scaled = 100 * value if self.is_accuracy else value
        text = f"{scaled:.{(2 if self.is_accuracy else 4) if digits is None else digits}f}"
        return f"{scaled:.1g}" if scaled and not float(text) else text


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
    def sound(self) -> bool:
        """Whether no job ended for what it measured: the mean of the others would flatter."""
        return not any(job.diverged or job.state == "pruned" for job in self.jobs)

    @property
    def share(self) -> float:
        """The share of its jobs that came to a result."""
        return len(self.ranked) / len(self.jobs)

    @property
    def unfinished(self) -> str:
        """What became of the jobs without a result: `4 of 5 diverged`."""
        counts = Counter(map(_end, (job for job in self.jobs if job not in self.ranked)))
        return ", ".join(f"{count} of {len(self.jobs)} {end}" for end, count in counts.items())

    def beats(self, other: "Group", metric: Metric) -> bool:
        """Whether its mean is the better one, whatever jobs it lost."""
        if self.metric is None or other.metric is None:
            return False
        return metric.sign * (self.metric.mean - other.metric.mean) > 0


@dataclass(frozen=True)
class Leaderboard:
    """Groups from best to worst: the sound and complete first, those without a result last.

    Attributes:
        basis: what the jobs have in common, so that they compare.
        metric: that ranks them.
        keys: the swept keys but the seed.
        shared: overrides that all jobs have in common.
        groups: ranked.
        repeated: jobs left out since a later one has the same settings and seed.
        description: what the jobs are, as far as it tells them from the others: `3 jobs on mnist`.
        others: of the jobs that do not compare with these: other data, limits or metric.
    """

    basis: Basis
    metric: Metric
    keys: tuple[str, ...]
    shared: Mapping[str, str]
    groups: tuple[Group, ...]
    repeated: tuple[Job, ...]
    description: str = ""
    others: tuple["Leaderboard", ...] = ()

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs of all groups."""
        return tuple(job for group in self.groups for job in group.jobs)

    @property
    def all(self) -> tuple["Leaderboard", ...]:
        """This leaderboard and the others."""
        return (self, *self.others)

    @property
    def missing(self) -> dict[str, int]:
        """The number of jobs without a result by what became of them."""
        ranked = {job for group in self.groups for job in group.ranked}
        return dict(Counter(_end(job) for job in self.jobs if job not in ranked))

    @property
    def ranked(self) -> tuple[Group, ...]:
        """The groups that have a result."""
        return tuple(group for group in self.groups if group.metric)

    def numbers(self, key: str) -> list[float] | None:
        """Return the different values of a key in order, or None if they are not all numbers."""
        values = {as_number(group.settings[key]) for group in self.groups}
        numbers = sorted(value for value in values if value is not None)
        return numbers if len(numbers) == len(values) else None


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted key, or the whole where that is not unique."""
    last = Counter(key.split(".")[-1] for key in keys)
    return {key: key.split(".")[-1] if last[key.split(".")[-1]] == 1 else key for key in keys}


def short(value: str) -> str:
    """Return a value with at most four digits that count."""
    number = as_number(value)
    return value if number is None or len(value) <= 6 else f"{number:.4g}"


def _end(job: Job) -> str:
    """Say why a job counts for nothing."""
    if job.diverged:
        return "diverged"
    return "without a value" if job.state == "done" else job.state
