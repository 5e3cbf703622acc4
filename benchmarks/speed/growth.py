"""Measure how the time per image grows with the data set and with the depth of the network."""

import statistics
from collections.abc import Callable, Mapping, Sequence

import torch
from omegaconf import DictConfig

from benchmarks.speed.loops import trainer_rate
from resnet_lab.measuring.random_images import use_random_images


def with_images(cfg: DictConfig, counts: Sequence[int], repeats: int = 3) -> dict[str, float]:
    """Measure microseconds an image, training in a whole run, by the size of the data set.

    Args:
        cfg: a composed configuration; random images stand in for its data.
        counts: of images.
        repeats: of all of them, in turn.

    Returns:
        The medians of `n` by count, and the `ratio` of the largest to the smallest.
    """
    steps = int(0.9 * min(counts)) // cfg.data.batch_size  # that all of them have

    def microseconds(count: int) -> float:
        sized = cfg.copy()
        use_random_images(sized, count)
        return 1e6 / trainer_rate(sized, steps, epochs=4)

    costs = _medians(microseconds, counts, repeats)
    return {**costs, "ratio": max(costs.values()) / min(costs.values()), "n": repeats}


def with_depth(cfg: DictConfig, depths: Sequence[int], repeats: int = 3) -> dict[str, float]:
    """Measure microseconds an image, training in a whole run, by the depth of the network.

    Args:
        cfg: a composed configuration of a CIFAR ResNet.
        depths: of the network.
        repeats: of all of them, in turn.

    Returns:
        The medians of `n` by depth, and the largest `deviation` from a straight line, relative to
        it.
    """

    def microseconds(depth: int) -> float:
        deep = cfg.copy()
        deep.model.depth = depth
        return 1e6 / trainer_rate(deep, 8)

    costs = _medians(microseconds, depths, repeats)
    return {**costs, "deviation": linearity(costs), "n": repeats}


def _medians(
    measure: Callable[[int], float], values: Sequence[int], repeats: int
) -> dict[str, float]:
    rounds = [[measure(value) for value in values] for _ in range(repeats)]
    return {
        str(value): statistics.median(times)
        for value, times in zip(values, zip(*rounds, strict=True), strict=True)
    }


def linearity(costs: Mapping[str, float]) -> float:
    """Return the largest deviation from a straight line through the costs, relative to them."""
    depths = torch.tensor([float(depth) for depth in costs], dtype=torch.float64)
    values = torch.tensor(list(costs.values()), dtype=torch.float64)
    design = torch.stack([depths, torch.ones_like(depths)], 1)
    line = design @ torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
    return float(((values - line) / line).abs().max())
