"""The summary of a report in a few sentences."""

from collections import Counter

from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric
from resnet_lab.reporting.wording import count_of, interval, mean_and_std

SHOWN_OTHERS = 8  # most leaderboards of other jobs that are shown
SHOWN_INCOMPLETE = 2
UNDECIDED = "undecided"
# How a setting compares with the best, by its verdict.
KINDS = {
    "worse": "worse beyond noise",
    "not distinguishable": "not distinguishable from it",
    "one seed: cannot tell": UNDECIDED,
    "no spread: cannot tell": UNDECIDED,
    "lost jobs: not compared": "ranked below for lost jobs",
    "no result": "without a result",
}


def answer(board: Leaderboard) -> str:
    """Summarize the winner, its significance, jobs without a result and jobs set aside."""
    said = [_best(board), _compared(board), *_better_but_incomplete(board)]
    if board.ranked and board.missing:
        number = sum(board.missing.values())
        have = "has" if number == 1 else "have"
        jobs = count_of(len(board.jobs), "job")
        said.append(f"{number} of {jobs} {have} no result: {_missing(board)}.")
    if board.others:
        aside = "; ".join(other.description for other in board.others[:SHOWN_OTHERS])
        more = len(board.others) - SHOWN_OTHERS
        aside += f"; {more} more kinds" if more > 0 else ""
        said.append(f"Set aside, as they do not compare: {aside}.")
    return " ".join(filter(None, said))


def _best(board: Leaderboard) -> str:
    of = f" of {board.description}" if board.others or board.basis.limits else ""
    if not board.ranked:
        return f"No job{of} has finished with a result yet: {_missing(board)}."
    best, metric = board.ranked[0], board.metric
    assert best.metric is not None
    known = best.metric.low is not None
    sure = f"95 % interval {interval(best.metric, metric.shown)}, " if known else ""
    lacking = f"; {best.unfinished}" if best.unfinished else ""
    said = f"Best{of}: {best.label}, with {metric.name} {_with_unit(best, metric)} "
    said += f"({sure}{count_of(best.metric.n, 'seed')}{lacking})"
    test = board.test
    if best.tested(test) is None:
        return f"{said}."
    what = "accuracy" if test.name == "test/acc" else test.name.removeprefix("test/")
    return f"{said} and test {what} {mean_and_std(best, test)}{' %' if test.is_accuracy else ''}."


def _compared(board: Leaderboard) -> str:
    """Summarize how the other settings compare with the best; empty if that is unknown."""
    if not board.ranked:
        return ""
    others = [group for group in board.groups if group not in board.ranked[:1]]
    counts = Counter(KINDS[group.verdict] for group in others)
    if not counts.keys() - {UNDECIDED}:
        return ""
    kinds = [kind for kind in dict.fromkeys(KINDS.values()) if counts[kind]]
    if len(others) == 1:
        return f"The other setting: {kinds[0]}."
    parts = ", ".join(f"{counts[kind]} {kind}" for kind in kinds)
    return f"Of the other {len(others)} settings: {parts}."


def _better_but_incomplete(board: Leaderboard) -> list[str]:
    """Name settings with a better mean that are ranked below because jobs are missing."""
    above = [group for group in board.ranked[1:] if group.beats(board.ranked[0], board.metric)]
    said = [
        f"{group.label} has a better mean ({_with_unit(group, board.metric)}), but "
        f"{group.unfinished}: it is ranked below."
        for group in above[:SHOWN_INCOMPLETE]
    ]
    more = len(above) - SHOWN_INCOMPLETE
    return [*said, f"So are {more} more."] if more > 0 else said


def _missing(board: Leaderboard) -> str:
    return ", ".join(f"{count} {end}" for end, count in board.missing.items())


def _with_unit(group: Group, metric: Metric) -> str:
    assert group.metric is not None
    return f"{metric.shown(group.metric.mean)}{' %' if metric.is_accuracy else ''}"
