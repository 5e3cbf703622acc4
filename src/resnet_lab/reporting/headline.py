"""The summary of a report in a few sentences."""

from collections import Counter

from resnet_lab.reporting.ranking.board import Group, Leaderboard, Metric
from resnet_lab.reporting.wording import count_of, interval, mean_and_std

SHOWN_OTHERS = 8  # most leaderboards of other jobs that are shown
SHOWN_INCOMPLETE = 2

# How a setting compares with the best.
WORSE = "worse beyond noise"
CLOSE = "not distinguishable from it"
UNDECIDED = "undecided"
LOST = "ranked below for lost jobs"
NO_RESULT = "without a result"


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
    sure = (
        f"95 % interval {interval(best.metric, metric.shown)}, "
        if best.metric.low is not None
        else ""
    )
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
    others = [group for group in board.groups if group not in board.ranked[:1]]
    counts = Counter(_kind(group) for group in others)
    if not board.ranked or not counts.keys() - {UNDECIDED}:
        return ""
    kinds = (WORSE, CLOSE, UNDECIDED, LOST, NO_RESULT)
    parts = [
        f"{counts[kind]} {kind}" if len(others) > 1 else kind for kind in kinds if counts[kind]
    ]
    which = f"Of the other {len(others)} settings" if len(others) > 1 else "The other setting"
    return f"{which}: {', '.join(parts)}."


def _kind(group: Group) -> str:
    if group.metric is None:
        return NO_RESULT
    if not group.sound:
        return LOST
    return {"worse": WORSE, "not distinguishable": CLOSE}.get(group.verdict, UNDECIDED)


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
