"""The words and tables of a report, the same in the terminal, in Markdown and in HTML."""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from resnet_lab.reporting.jobs import Job
from resnet_lab.reporting.leaderboard import Group, Leaderboard, short, short_names
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.statistics import LEVEL, Spread

NONE = "\N{EN DASH}"
SHOWN_JOBS = 5  # of those that failed in the same way


class Table(NamedTuple):
    """A table of text; one string a cell."""

    columns: list[str]
    rows: list[list[str]]


def leaderboard_table(board: Leaderboard) -> Table:
    """Return the leaderboard; a column in which nothing is known is left out."""
    metric = board.metric
    columns: list[tuple[str, Callable[[Group], str]]] = [
        *((key, lambda group, key=key: short(group.settings[key])) for key in board.keys),
        ("n", lambda group: str(len(group.ranked))),
        (f"{metric.name} ({metric.unit})", lambda group: _mean(group.metric, metric.shown)),
        ("std", lambda group: _std(group.metric, metric.shown)),
        ("95 % interval", lambda group: interval(group.metric, metric.shown)),
        ("against the best", verdict),
        ("test/acc (%)", lambda group: _mean_and_std(group.test)),
        ("best seed", lambda group: _best_seed(group, metric.shown)),
        ("time", lambda group: duration(group.seconds)),
        ("not finished", lambda group: group.unfinished or NONE),
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
    """Return the columns that hold words, which stand to the left."""
    return (*board.keys, "against the best", "not finished")


def single_seeds(board: Leaderboard) -> bool:
    """Whether no group has two seeds."""
    return all(group.metric is None or group.metric.n == 1 for group in board.groups)


def verdict(group: Group) -> str:
    """Say how a group compares with the best, with the p of that."""
    if group.against_best is None:
        return group.verdict or NONE
    return f"{group.verdict}, {p_value(group.against_best.p)}"


def p_value(p: float) -> str:
    """Format a p with two digits that count."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def interval(spread: Spread | None, shown: Callable[[float], str]) -> str:
    """Format an interval of a mean."""
    if spread is None or spread.low is None or spread.high is None:
        return NONE
    return f"{shown(spread.low)} to {shown(spread.high)}"


def duration(seconds: float | None) -> str:
    """Format a time with the two units that count."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def size(count: int) -> str:
    """Format a number of bytes."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def answer(board: Leaderboard) -> str:
    """Say in a sentence or two what won, and how sure that is."""
    if not board.ranked:
        return "No job has finished with a result yet."
    best, *others = board.ranked
    metric, spread = board.metric, best.metric
    assert spread is not None
    unit = " %" if metric.is_accuracy else ""
    sure = f"95 % interval {interval(spread, metric.shown)}, " if spread.low is not None else ""
    said = f"Best: {best.label}, with {metric.name} {metric.shown(spread.mean)}{unit} "
    said += f"({sure}{_count(spread.n, 'seed')})"
    said += f" and test accuracy {_mean_and_std(best.test)} %." if best.test else "."
    worse = sum(group.verdict == "worse" for group in others)
    close = sum(group.verdict == "not distinguishable" for group in others)
    parts = [
        f"{count} {words}" if len(others) > 1 else words
        for count, words in (
            (worse, "worse beyond noise"),
            (close, "not distinguishable from it"),
            (len(others) - worse - close, "cannot be told"),
        )
        if count
    ]
    if worse or close:
        which = f"Of the other {len(others)} settings" if len(others) > 1 else "The other setting"
        said += f" {which}: {', '.join(parts)}."
    return said


def facts(results: Results, board: Leaderboard) -> list[tuple[str, str]]:
    """Return what is said above the table, by name."""
    counts = ", ".join(f"{count} {state}" for state, count in results.states.items())
    spent = sum(job.seconds or 0.0 for job in results.jobs)
    shared = ", ".join(f"{key}={short(value)}" for key, value in board.shared.items())
    rows = [
        *(("command", str(about["command"])) for about in results.about if about.get("command")),
        ("jobs", f"{len(results.jobs)}: {counts}"),
        ("swept", _swept(board)),
        ("all jobs", shared),
        ("time", f"{duration(spent)} of training, added up over the jobs"),
        ("disk", f"{size(results.disk)}, {size(results.checkpoints)} of it checkpoints"),
    ]
    return [(name, text) for name, text in rows if text]


def notes(results: Results, board: Leaderboard) -> list[str]:
    """Return what a reader must know to read the table right."""
    name = board.metric.name
    lines = []
    if board.ranked:
        lines.append(
            f"Ranked by each job's best {name}, averaged over seeds; never by the test split."
        )
    if single_seeds(board) and len(board.ranked) > 1:
        lines.append(
            "One seed: cannot tell which differences are beyond noise; more seeds would, as in "
            "seed=0,1,2."
        )
    tests = Counter(group.against_best.test for group in board.groups if group.against_best)
    if tests:
        lines.append(
            f"Against the best: {' or '.join(tests)} on {name}, two-sided, p corrected for "
            f"{_count(sum(tests.values()), 'comparison')} (Holm); worse means p < {LEVEL}. The "
            "best was chosen by these same numbers: confirm a close call with new seeds."
        )
    if any(group.metric and group.metric.low is not None for group in board.groups):
        lines.append("95 % interval of the mean over seeds, by Student's t; std is that of a seed.")
    if board.repeated:
        count = _count(len(board.repeated), "job")
        lines.append(f"{count} left out: a later one has the same settings and seed.")
    if board.others:
        monitors = ", ".join(sorted({str(job.monitor) for job in board.others}))
        lines.append(
            f"{_count(len(board.others), 'job')} left out: judged by {monitors}, not {name}; "
            "--monitor ranks those."
        )
    for field, what in (("commit", "commits"), ("device", "devices"), ("precision", "precisions")):
        values = {_short_commit(job.status[field]) for job in results.jobs if job.status.get(field)}
        if len(values) > 1:
            lines.append(f"The jobs ran with different {what}: {', '.join(sorted(values))}.")
    return lines


def failures(results: Results, board: Leaderboard) -> list[tuple[str, str]]:
    """Return each error, and the jobs that ended with it."""
    by_error: dict[str, list[str]] = {}
    for job in results.jobs:
        if job.state == "failed":
            by_error.setdefault(job.error or "no error was recorded", []).append(label(board, job))
    named = []
    for error, jobs in by_error.items():
        more = f" and {len(jobs) - SHOWN_JOBS} more" if len(jobs) > SHOWN_JOBS else ""
        named.append((error, "; ".join(jobs[:SHOWN_JOBS]) + more))
    return named


def label(board: Leaderboard, job: Job) -> str:
    """Name a job by what was swept."""
    names = short_names(board.keys)
    parts = [f"{names[key]}={short(job.setting(key))}" for key in board.keys]
    parts += [f"seed={job.seed}"] if job.seed is not None else []
    return ", ".join(parts) or job.directory.name


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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mean(spread: Spread | None, shown: Callable[[float], str]) -> str:
    return shown(spread.mean) if spread else NONE


def _std(spread: Spread | None, shown: Callable[[float], str]) -> str:
    return shown(spread.std) if spread and spread.std is not None else NONE


def _mean_and_std(test: Spread | None) -> str:
    if test is None:
        return NONE
    std = f" ± {100 * test.std:.2f}" if test.std is not None else ""
    return f"{100 * test.mean:.2f}{std}"


def _best_seed(group: Group, shown: Callable[[float], str]) -> str:
    if group.best is None or group.best.value is None or group.best.seed is None:
        return NONE
    return f"{group.best.seed} ({shown(group.best.value)})"
