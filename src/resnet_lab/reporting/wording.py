"""Tables, facts and notes of a report, shared by the terminal, Markdown and HTML."""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from rich.filesize import decimal

from resnet_lab.core.text import printable
from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric, short, short_names
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.run_record import RunRecord
from resnet_lab.reporting.searched import search_facts
from resnet_lab.reporting.statistics import LEVEL, Spread

NONE = "\N{EN DASH}"
SHOWN_JOBS = 5  # most jobs that are listed for one error


class Table(NamedTuple):
    """A table of strings."""

    columns: list[str]
    rows: list[list[str]]


def leaderboard_table(board: Leaderboard) -> Table:
    """Build the table of a leaderboard, without empty columns."""
    metric = board.metric

    def mean(group: Group) -> str:
        return metric.shown(group.metric.mean) if group.metric else NONE

    def std(group: Group) -> str:
        spread = group.metric
        return metric.deviation(spread.std) if spread and spread.std is not None else NONE

    def best_seed(group: Group) -> str:
        if group.best is None or group.best.value is None or group.best.seed is None:
            return NONE
        return f"{group.best.seed} ({metric.shown(group.best.value)})"

    columns: list[tuple[str, Callable[[Group], str]]] = [
        *((key, lambda group, key=key: short(group.settings[key])) for key in board.keys),
        ("n", lambda group: str(group.metric.n if group.metric else 0)),
        (metric.with_unit(metric.name), mean),
        ("std", std),
        ("95 % interval", lambda group: interval(group.metric, metric.shown)),
        ("against the best", verdict),
        *(
            (test.with_unit(test.name), lambda group, test=test: mean_and_std(group, test))
            for test in board.tests
        ),
        ("best seed", best_seed),
        ("time", lambda group: duration(group.seconds)),
        ("not finished", lambda group: group.lost(metric) or NONE),
    ]
    columns = [
        (title, cell)
        for title, cell in columns
        if any(cell(group) != NONE for group in board.groups)
        and not (title in ("against the best", "best seed") and single_seeds(board))
    ]
    places = [str(place + 1) if group.metric else NONE for place, group in enumerate(board.groups)]
    rows = [
        [place, *(cell(group) for _, cell in columns)]
        for place, group in zip(places, board.groups, strict=True)
    ]
    return Table(["", *(title for title, _ in columns)], rows)


def word_columns(board: Leaderboard) -> tuple[str, ...]:
    """Return the columns of text, which are aligned left."""
    return (*board.keys, "against the best", "not finished")


def single_seeds(board: Leaderboard) -> bool:
    """Whether no group has two seeds."""
    return all(group.metric is None or group.metric.n == 1 for group in board.groups)


def verdict(group: Group) -> str:
    """Format the verdict on a group, with the p of its test."""
    if group.against_best is None:
        return group.verdict or NONE
    return f"{group.verdict}, {p_value(group.against_best.p)}"


def p_value(p: float) -> str:
    """Format a p-value with two significant digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def interval(spread: Spread | None, shown: Callable[[float], str]) -> str:
    """Format the interval of a mean."""
    if spread is None or spread.low is None or spread.high is None:
        return NONE
    return f"{shown(spread.low)} to {shown(spread.high)}"


def duration(seconds: float | None) -> str:
    """Format a time with its two largest units."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def facts(results: Results, board: Leaderboard) -> list[tuple[str, str]]:
    """Return the facts above the table: names and texts."""
    counts = ", ".join(f"{count} {state}" for state, count in results.states.items())
    spent = sum(job.seconds or 0.0 for job in results.jobs)
    shared = ", ".join(f"{key}={short(value)}" for key, value in board.shared.items())
    rows = [
        *(("command", str(about["command"])) for about in results.about if about.get("command")),
        ("jobs", f"{len(results.jobs)}: {counts}"),
        ("swept", _swept(board)),
        *search_facts(results),
        ("all jobs", shared),
        ("time", f"{duration(spent)} of training, added up over the jobs"),
        ("disk", f"{decimal(results.disk)}, {decimal(results.checkpoints)} of it checkpoints"),
    ]
    return [(name, text) for name, text in rows if text]


def notes(board: Leaderboard) -> list[str]:
    """Return notes that explain the table."""
    name = board.metric.name
    jobs = (*board.jobs, *board.repeated)
    lines = []
    if board.ranked:
        lines.append(
            f"Ranked by each job's best {name}, averaged over seeds; never by the test split."
        )
    folds = {job.fold for group in board.groups for job in group.ranked} - {None}
    if folds:
        lines.append(
            f"The value of a seed is the mean over its {count_of(len(folds), 'fold')}, and n "
            "counts seeds: folds share training images, so they are no independent runs."
        )
    if single_seeds(board) and len(board.ranked) > 1:
        lines.append(
            "One seed cannot tell which differences are beyond noise; run more, as in seed=0,1,2."
        )
    tests = Counter(group.against_best.test for group in board.groups if group.against_best)
    if tests:
        lines.append(
            f"Against the best: {' or '.join(tests)} on {name}, two-sided, p corrected for "
            f"{count_of(sum(tests.values()), 'comparison')} (Holm); worse means p < {LEVEL}. The "
            "best was chosen by these same numbers: confirm a close call with new seeds."
        )
    shown = {g.metric.n > 1 for g in board.groups if g.metric and g.metric.low is not None}
    if True in shown:
        lines.append("95 % interval of the mean over seeds, by Student's t; std is that of a seed.")
    if False in shown:
        lines.append(
            "With one seed, the 95 % interval is that of the mean over its folds, by Student's t, "
            "wider than of independent runs: folds share training images (Nadeau and Bengio 2003)."
        )
    if board.repeated:
        count = count_of(len(board.repeated), "job")
        lines.append(
            f"{count} left out: a later one has the same settings and seed"
            f"{' and fold' if folds else ''}."
        )
    if not all(group.sound for group in board.ranked):
        lines.append(
            "Settings that lost jobs because these diverged or were pruned are ranked below the "
            "others and not compared: the mean of the rest is biased."
        )
    if any(group.sound and group.unfinished for group in board.ranked):
        lines.append("Settings with jobs missing are ranked below complete ones.")
    monitors = sorted({other.metric.name for other in board.others} - {name})
    if monitors:
        lines.append(f"--monitor {' or '.join(monitors)} ranks the jobs with that monitor first.")
    for field, what in (("commit", "commits"), ("device", "devices"), ("precision", "precisions")):
        values = {_short_commit(job.status[field]) for job in jobs if job.status.get(field)}
        if len(values) > 1:
            lines.append(f"The jobs ran with different {what}: {', '.join(sorted(values))}.")
    return lines


def failures(board: Leaderboard) -> list[tuple[str, str]]:
    """Return each error with the jobs that failed with it, over all leaderboards."""
    by_error: dict[str, list[str]] = {}
    for each in board.all:
        for job in (*each.jobs, *each.repeated):
            if job.state == "failed":
                error = job.error or "no error was recorded"
                by_error.setdefault(error, []).append(job_label(each, job))
    more = {error: len(jobs) - SHOWN_JOBS for error, jobs in by_error.items()}
    return [
        (error, "; ".join(jobs[:SHOWN_JOBS]) + f" and {more[error]} more" * (more[error] > 0))
        for error, jobs in by_error.items()
    ]


def job_label(board: Leaderboard, job: RunRecord) -> str:
    """Name a job by its swept settings and its seed."""
    names = short_names(board.keys)
    parts = [f"{names[key]}={short(job.setting(key))}" for key in board.keys]
    parts += [f"fold={job.fold}"] if job.fold is not None else []
    parts += [f"seed={job.seed}"] if job.seed is not None else []
    return ", ".join(parts) or printable(job.directory.name)


def _swept(board: Leaderboard) -> str:
    parts = []
    for key in board.keys:
        values = list(dict.fromkeys(group.settings[key] for group in board.groups))
        numbers = board.numbers(key)
        if numbers:
            values = [short(f"{number:g}") for number in numbers]
        if len(values) > 8:
            values = [values[0], "…", values[-1]] if numbers else [f"{len(values)} values"]
        parts.append(f"{key}={','.join(values)}")
    seeds = {job.seed for group in board.groups for job in group.jobs if job.seed is not None}
    if len(seeds) > 1:
        parts.append(f"{len(seeds)} seeds")
    return "  ".join(parts)


def _short_commit(value: object) -> str:
    return re.sub(r"\b([0-9a-f]{9})[0-9a-f]{31}", r"\1", str(value))


def count_of(number: int, what: str) -> str:
    """Format a count: `1 job`, `2 jobs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def mean_and_std(group: Group, metric: Metric) -> str:
    """Format a metric of the test split, an accuracy in percent, with its standard deviation."""
    test = group.tested(metric)
    if test is None:
        return NONE
    std = f" ± {metric.deviation(test.std)}" if test.std is not None else ""
    return f"{metric.shown(test.mean)}{std}"
