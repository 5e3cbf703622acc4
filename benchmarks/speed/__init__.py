"""Measure the speed of this template, against PyTorch, Lightning, torchvision and a rival."""

from collections.abc import Callable

from resnet_lab.measuring import medians


def pair(
    first: Callable[[], float], second: Callable[[], float], repeats: int
) -> tuple[float, float, float]:
    """Measure two functions in turn; return what `medians` does."""
    pairs = [(first(), second()) for _ in range(repeats)]
    return medians([one for one, _ in pairs], [two for _, two in pairs])
