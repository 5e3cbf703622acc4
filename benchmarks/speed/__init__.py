"""Measure the speed of this template, against PyTorch, Lightning, torchvision and a rival."""

import statistics
from collections.abc import Callable, Mapping, Sequence


def in_turn(measures: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Measure several things in turn, so that a busy moment does not fall on one alone."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(repeats)]
    return {name: [each[name] for each in rounds] for name in measures}


def medians(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each measurement."""
    return {name: statistics.median(each) for name, each in values.items()}


def ratio(values: Mapping[str, Sequence[float]], over: str, under: str) -> float:
    """Return the median ratio of two things that were measured in turn."""
    pairs = zip(values[over], values[under], strict=True)
    return statistics.median(first / second for first, second in pairs)
