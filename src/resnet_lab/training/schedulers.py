"""Learning-rate schedules with a linear warm-up, as factors on the learning rate of each group.

Any scheduler of `torch.optim.lr_scheduler` works as well: `_target_` names it, and
`optimisation.scheduler_config` fills in the length of the run.
"""

import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine(
    optimizer: Optimizer, total_steps: int, warmup: int | float = 0.0, final: float = 0.0
) -> LambdaLR:
    """Build a linear warm-up and half a cosine (Loshchilov & Hutter 2017, without restarts).

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: length of the run.
        warmup: length of the warm-up, in steps or as a fraction of the run below 1.
        final: factor at the end.
    """
    rise = _steps("scheduler.warmup", warmup, total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(1, total_steps - rise)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return LambdaLR(optimizer, factor)


def multistep(
    optimizer: Optimizer,
    total_steps: int,
    milestones: Sequence[int | float] = (0.5, 0.75),
    gamma: float = 0.1,
    warmup: int | float = 0.0,
    warmup_factor: float | None = None,
) -> LambdaLR:
    """Multiply the rate by `gamma` at each milestone (He et al. 2015: by 0.1 at 32k, 48k of 64k).

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: length of the run.
        milestones: in steps, or as fractions of the run below 1.
        gamma: factor at each milestone.
        warmup: length of the warm-up, in steps or as a fraction of the run below 1.
        warmup_factor: constant factor while warming up (He et al. 2015 train ResNet-110 at 0.1 for
            400 steps); None rises linearly.
    """
    rise = _steps("scheduler.warmup", warmup, total_steps)
    drops = [_steps("scheduler.milestones", milestone, total_steps) for milestone in milestones]

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise if warmup_factor is None else warmup_factor
        return float(gamma ** sum(step >= drop for drop in drops))

    return LambdaLR(optimizer, factor)


def _steps(key: str, length: int | float, total_steps: int) -> int:
    """Return a length in steps; a fraction of the run is converted."""
    if length < 0 or length > total_steps or (length > 1 and length != int(length)):
        raise ValueError(
            f"{key}={length}: must be a fraction of the run below 1, or an integer number of "
            f"steps up to the run's {total_steps}"
        )
    return round(length * total_steps) if isinstance(length, float) and length < 1 else int(length)
