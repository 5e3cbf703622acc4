"""The parts of a leaderboard: a metric, and groups of jobs that differ only in their seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnet_lab.core.directions import SHARES
from resnet_lab.reporting.ranking.comparable import Basis
from resnet_lab.reporting.run_record import RunRecord, as_number
from resnet_lab.reporting.statistics import Difference, Spread

LARGE = 1e5  # from here on, a loss is shown with 4 significant digits


@dataclass(frozen=True)
class Metric:
    """The metric that ranks the groups."""

    name: str  # such as val/acc
    mode: str  # "max" where more is better, else "min"

    @property
    def is_accuracy(self) -> bool:
        """Whether it is an accuracy, which is shown in percent."""
        return self.name.split("/")[-1].startswith("acc")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest possible value; None where they are not known."""
        share = self.is_accuracy or self.name.partition("/")[2].partition("/")[0] in SHARES
        return (0.0, 1.0) if share else None

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.mode == "max" else -1

    @property
    def unit(self) -> str:
        """The unit of shown values; empty where it is unknown."""
        if self.is_accuracy:
            return "%"
        return "nats" if self.name.split("/")[-1].startswith("loss") else ""

    @property
    def split(self) -> str:
        """The split that it is of, spelled out."""
        split = self.name.split("/")[0]
        return {"val": "validation", "train": "training"}.get(split, split)

    @property
    def full_name(self) -> str:
        """The name spelled out: `validation accuracy`."""
        kind = self.name.split("/")[-1]
        kinds = {"acc": "accuracy", "acc_top5": "top-5 accuracy", "loss": "cross-entropy"}
        return f"{self.split} {kinds.get(kind, kind)}"

    @property
    def axis_label(self) -> str:
        """The label of an axis that shows the best value of each job."""
        return self.with_unit(f"best {self.full_name}")

    def with_unit(self, what: str) -> str:
        """Append the unit to the title of a column or an axis."""
        return f"{what} ({self.unit})" if self.unit else what

    def scaled(self, value: float) -> float:
        """Convert a value to the unit that is shown: an accuracy to percent."""
        return 100 * value if self.is_accuracy else value

    def shown(self, value: float) -> str:
        """Format a value, an accuracy in percent."""
        if self.is_accuracy:
            return f"{100 * value:.2f}"
        return f"{value:.4f}" if abs(value) < LARGE else f"{value:.4g}"

    def deviation(self, value: float, digits: int | None = None) -> str:
        """Format a standard deviation; only 0 is shown as 0."""
        scaled = self.scaled(value)
        text = f"{scaled:.{(2 if self.is_accuracy else 4) if digits is None else digits}f}"
        return f"{scaled:.1g}" if scaled and not float(text) else text


@dataclass(frozen=True, eq=False)
class Group:
    """Jobs that differ only in their seed."""

    settings: Mapping[str, str]  # value of each swept key
    jobs: tuple[RunRecord, ...]  # all of them, in any state
    ranked: tuple[RunRecord, ...]  # finished jobs with a value of the metric, one for each seed
    metric: Spread | None  # spread of the metric over `ranked`; None if that is empty
    tests: Mapping[str, Spread]  # of each metric of the test split; an accuracy is in [0, 1]
    seconds: float | None  # mean time of training
    best: RunRecord | None  # the job with the best value
    against_best: Difference | None = None  # corrected; None: the best, or no test is possible
    verdict: str = ""  # the result of that test, in words

    @property
    def label(self) -> str:
        """The settings in short: `lr=0.1, depth=20`."""
        names = short_names(list(self.settings))
        values = (f"{names[key]}={short(value)}" for key, value in self.settings.items())
        return ", ".join(values) or "all"

    def tested(self, metric: "Metric") -> Spread | None:
        """Return the spread of a metric of the test split, such as test/acc."""
        return self.tests.get(metric.name.removeprefix("test/"))

    @property
    def sound(self) -> bool:
        """Whether no job diverged or was pruned, which would bias the mean of the others."""
        return not any(job.diverged or job.state == "pruned" for job in self.jobs)

    @property
    def share(self) -> float:
        """The share of its jobs that have a result."""
        return len(self.ranked) / len(self.jobs)

    @property
    def unfinished(self) -> str:
        """The state of the jobs without a result: `4 of 5 diverged`."""
        counts = Counter(map(_end, (job for job in self.jobs if job not in self.ranked)))
        return ", ".join(f"{count} of {len(self.jobs)} {end}" for end, count in counts.items())

    def lost(self, metric: Metric) -> str:
        """The state of the jobs without a result, and how far pruned ones came."""
        pruned = (
            f"best {metric.shown(job.value)} after epoch {job.status.get('epochs')}"
            for job in self.jobs
            if job.state == "pruned" and job.value is not None
        )
        states = self.unfinished.removeprefix("1 of 1 ")
        return ": ".join(filter(None, [states, "; ".join(pruned)]))

    def beats(self, other: "Group", metric: Metric) -> bool:
        """Whether its mean is better, however many jobs it lost."""
        if self.metric is None or other.metric is None:
            return False
        return metric.sign * (self.metric.mean - other.metric.mean) > 0


@dataclass(frozen=True)
class Leaderboard:
    """Groups from best to worst: sound and complete ones first, those without a result last."""

    basis: Basis  # data, limits and metric that the jobs have in common
    metric: Metric  # the metric that ranks them
    test: Metric  # the metric that their tests are told by
    keys: tuple[str, ...]  # swept keys without the seed
    shared: Mapping[str, str]  # overrides that all jobs have in common
    groups: tuple[Group, ...]  # from best to worst
    repeated: tuple[RunRecord, ...]  # left out: a later one has the same settings and seed
    description: str = ""  # how the jobs differ from those of the others: `3 jobs on mnist`
    others: tuple["Leaderboard", ...] = ()  # leaderboards of jobs with other data, limits or metric

    @property
    def jobs(self) -> tuple[RunRecord, ...]:
        """The jobs of all groups."""
        return tuple(job for group in self.groups for job in group.jobs)

    @property
    def all(self) -> tuple["Leaderboard", ...]:
        """This leaderboard and the others."""
        return (self, *self.others)

    @property
    def tests(self) -> list[Metric]:
        """The metrics of the test split: what tests are told by first, the loss left out."""
        names = dict.fromkeys(name for group in self.groups for name in group.tests)
        more = (Metric(f"test/{name}", "max") for name in names if name != "loss")
        return [self.test, *(metric for metric in more if metric.name != self.test.name)]

    @property
    def missing(self) -> dict[str, int]:
        """The number of jobs without a result, by state."""
        ranked = {job for group in self.groups for job in group.ranked}
        return dict(Counter(_end(job) for job in self.jobs if job not in ranked))

    @property
    def ranked(self) -> tuple[Group, ...]:
        """The groups that have a result."""
        return tuple(group for group in self.groups if group.metric)

    def numbers(self, key: str) -> list[float] | None:
        """Return the distinct values of a key in order, or None if they are not all numbers."""
        values = {as_number(group.settings[key]) for group in self.groups}
        numbers = sorted(value for value in values if value is not None)
        return numbers if len(numbers) == len(values) else None


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Shorten each dotted key to its last part, where that is unique."""
    last = Counter(key.split(".")[-1] for key in keys)
    return {key: key.split(".")[-1] if last[key.split(".")[-1]] == 1 else key for key in keys}


def short(value: str) -> str:
    """Round a long number to four significant digits."""
    number = as_number(value)
    return value if number is None or len(value) <= 6 else f"{number:.4g}"


def _end(job: RunRecord) -> str:
    """Return why a job has no result."""
    if job.diverged:
        return "diverged"
    return "without a value" if job.state == "done" else job.state
