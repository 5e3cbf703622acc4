"""The leaderboard: jobs grouped over seeds, ranked, and tested against the best group.

Only jobs that compare are ranked together; see `comparable`. A setting with diverged or pruned jobs
is ranked below the others: the mean of its remaining seeds is biased upwards.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnet_lab.core.directions import mode_of
from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric
from resnet_lab.reporting.ranking.comparable import Basis, comparable, described
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.run_record import RunRecord
from resnet_lab.reporting.statistics import (
    LEVEL,
    Difference,
    Spread,
    difference,
    holm,
    spread,
    spread_of_folds,
)


def rank(results: Results, monitor: str | None = None) -> Leaderboard:
    """Group the jobs of a sweep, rank the groups and test each against the best.

    By default, they are ranked by the metric that most jobs use.

    Returns:
        The leaderboard with the most finished jobs, the other leaderboards inside it.

    Raises:
        ValueError: no job has that monitor.
    """
    known = Counter(job.monitor for job in results.jobs if job.monitor)
    if monitor is not None and monitor not in known:
        there = ", ".join(known) or "none yet"
        raise ValueError(f"--monitor {monitor}: no job has this monitor; there are {there}")
    boards = [_board(basis, jobs, results) for basis, jobs in comparable(results.jobs).items()]
    boards.sort(
        key=lambda board: (
            monitor not in (None, board.metric.name),
            -sum(len(group.ranked) for group in board.groups),
            -len(board.jobs),
            len(board.basis.limits),
        )
    )
    first, *others = boards
    seen = [board.basis for board in boards]
    return replace(
        first,
        description=described(len(first.jobs), first.basis, seen),
        others=tuple(
            replace(board, description=described(len(board.jobs), board.basis, seen))
            for board in others
        ),
    )


def _board(basis: Basis, jobs: Sequence[RunRecord], results: Results) -> Leaderboard:
    recorded = [about for about in results.about if isinstance(about.get("monitor"), str)]
    name = basis.monitor or next((about["monitor"] for about in recorded), "result")
    modes = [about.get("mode") for about in recorded if about["monitor"] == name]
    modes += [job.mode for job in jobs]
    mode = next((mode for mode in modes if mode in ("min", "max")), None)
    metric = Metric(name, mode or mode_of(name))
    swept, shared = _swept(jobs)
    grouped: dict[tuple[str, ...], list[RunRecord]] = {}
    for job in jobs:
        grouped.setdefault(tuple(job.setting(key) for key in swept), []).append(job)
    groups, repeated = [], []
    for values, members in grouped.items():
        ranked, rest = _one_a_seed(members)
        repeated += rest
        left = tuple(job for job in members if job not in rest)
        groups.append(_group(dict(zip(swept, values, strict=True)), left, ranked, metric))
    groups.sort(key=lambda group: _order(group, metric))
    judged = tuple(_with_verdicts(groups))
    told = Counter(job.test_metric for job in jobs if job.tests) or Counter(["acc"])
    test = Metric(f"test/{told.most_common(1)[0][0]}", metric.mode)
    return Leaderboard(basis, metric, test, tuple(swept), shared, judged, tuple(repeated))


def _swept(jobs: Sequence[RunRecord]) -> tuple[list[str], dict[str, str]]:
    """Return the keys whose values differ between jobs, and the shared settings."""
    keys = list(dict.fromkeys(key for job in jobs for key in job.settings))
    values = {key: {job.setting(key) for job in jobs} for key in keys}
    swept = [key for key in keys if len(values[key]) > 1]
    return swept, {key: jobs[0].setting(key) for key in keys if key not in swept}


def _one_a_seed(jobs: Sequence[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """Keep the latest finished job of each seed; return these and the superseded ones.

    The same seed twice is no second sample: the spread would come out too small. A job that failed
    and was repeated elsewhere with success has not failed.
    """
    latest: dict[object, RunRecord] = {}
    repeated: list[RunRecord] = []
    earlier: dict[object, list[RunRecord]] = {}
    for job in sorted(jobs, key=lambda job: str(job.status.get("updated", ""))):
        sample = job.sample, job.fold
        earlier.setdefault(sample, []).append(job)
        if job.state == "done" and job.value is not None:
            repeated += earlier.pop(sample)[:-1]
            earlier[sample] = [job]
            latest[sample] = job
    return [job for job in jobs if job in latest.values()], repeated


def _group(
    settings: Mapping[str, str],
    jobs: tuple[RunRecord, ...],
    ranked: Sequence[RunRecord],
    metric: Metric,
) -> Group:
    values = {job: job.value for job in ranked if job.value is not None}
    names = dict.fromkeys(name for job in ranked for name in job.tests)
    tests = {name: {job: job.tests[name] for job in ranked if name in job.tests} for name in names}
    times = [job.seconds for job in ranked if job.seconds is not None]
    return Group(
        settings,
        jobs,
        tuple(ranked),
        metric=_spread(values, metric.bounds) if values else None,
        tests={
            name: _spread(each, Metric(f"test/{name}", "max").bounds)
            for name, each in tests.items()
        },
        seconds=sum(times) / len(times) if times else None,
        best=max(values, key=lambda job: metric.sign * values[job]) if values else None,
    )


def _spread(values: Mapping[RunRecord, float], bounds: tuple[float, float] | None) -> Spread:
    """Compute the spread over seeds; of a single seed with several folds, over these."""
    folds = _by_fold(values)
    if len(folds) == 1:
        (only,) = folds.values()
        if len(only) > 1:
            return spread_of_folds([*only.values()], bounds)
    return spread([*_by_sample(values).values()], bounds)


def _order(group: Group, metric: Metric) -> tuple[bool, bool, float, float]:
    if group.metric is None:
        return True, False, 0.0, 0.0
    return False, not group.sound, -group.share, -metric.sign * group.metric.mean


def _with_verdicts(groups: Sequence[Group]) -> list[Group]:
    """Test every sound group against the first."""
    if not groups or groups[0].metric is None:
        return list(groups)
    best, *others = groups
    seeds = {group: _by_seed(group) for group in groups}
    tests = {
        group: test
        for group in others
        if group.sound and (test := difference(seeds[best], seeds[group])) is not None
    }
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    judged = [replace(best, verdict="best" if best.sound else "first, but lost jobs")]
    for group in others:
        against = None
        if group in tests:
            against = Difference(tests[group].test, corrected[group])
            verdict = "worse" if against.p < LEVEL else "not distinguishable"
        elif group.metric is None:
            verdict = "no result"
        elif not group.sound:
            verdict = "lost jobs: not compared"
        else:
            single = 1 in (len(seeds[best]), len(seeds[group]))
            verdict = "one seed: cannot tell" if single else "no spread: cannot tell"
        judged.append(replace(group, against_best=against, verdict=verdict))
    return judged


def _by_seed(group: Group) -> dict[object, float]:
    return _by_sample({job: job.value for job in group.ranked if job.value is not None})


def _by_sample(values: Mapping[RunRecord, float]) -> dict[object, float]:
    """Return one value a seed: its only one, or the mean over its folds.

    Folds are no seeds: they share most of their training images, so that their spread is not that
    of independent runs.
    """
    return {sample: sum(folds.values()) / len(folds) for sample, folds in _by_fold(values).items()}


def _by_fold(values: Mapping[RunRecord, float]) -> dict[object, dict[int | None, float]]:
    """Return the values of each seed by fold; only of seeds with all the folds that some have."""
    found: dict[object, dict[int | None, float]] = {}
    for job, value in values.items():
        found.setdefault(job.sample, {})[job.fold] = value
    most = max(map(len, found.values()), default=0)
    return {sample: folds for sample, folds in found.items() if len(folds) == most}
