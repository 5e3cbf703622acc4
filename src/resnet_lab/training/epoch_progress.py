"""Save and restore what an interrupted epoch has besides weights: metric sums and random states."""

from copy import deepcopy
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors


def save_progress(task: LightningModule, sums: Metric) -> dict[str, Any]:
    """Return the state of an epoch, as plain types, the same on every process."""
    with sums.sync_context():
        values = deepcopy(sums.metric_state)
    progress = {"sums": values, "rng": _gathered(task, torch.get_rng_state())}
    if task.device.type == "cuda":
        progress["cuda_rng"] = _gathered(task, torch.cuda.get_rng_state(task.device))
    return progress


def restore_progress(task: LightningModule, sums: Metric, progress: dict[str, Any]) -> None:
    """Restore what `save_progress` returned, when training starts."""
    if task.global_rank == 0:  # the sums are those of all processes
        for name, value in progress["sums"].items():
            setattr(sums, name, value.to(task.device))
    sums._update_count = 1  # or a compute() of them alone warns
    own = task.global_rank % len(progress["rng"])
    # The copies: torch crashes on a state that is part of a larger tensor.
    torch.set_rng_state(progress["rng"][own].clone().cpu())
    if task.device.type == "cuda":
        torch.cuda.set_rng_state(progress["cuda_rng"][own].clone().cpu(), task.device)


def _gathered(task: LightningModule, state: Tensor) -> Tensor:
    """Gather a tensor [N] from each process of the run: [processes, N]."""
    if task.trainer.world_size == 1:
        return state[None]
    return torch.stack(gather_all_tensors(state.to(task.device))).cpu()
