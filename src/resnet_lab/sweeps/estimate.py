"""Estimate the memory and the checkpoints of a job, on the meta device."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resnet_lab.data.pixels import sides
from resnet_lab.runs.trained.run import Run

if TYPE_CHECKING:
    from resnet_lab.data import ImageDataModule
    from resnet_lab.training.image_task import ImageTask


class Estimate(NamedTuple):
    """How large a job is."""

    parameters: int
    memory: int  # bytes: weights, gradients, optimizer state and what a batch leaves for backward
    checkpoints: int  # bytes: best.ckpt and last.ckpt


def build_optimizers(
    run: Run, task: "ImageTask", data: "ImageDataModule"
) -> list[torch.optim.Optimizer]:
    """Build optimizers and schedules for the length of the run."""
    epochs = run.config.trainer.max_epochs
    steps = max(1, data.size("train") // data.batch_size) * epochs
    if epochs == -1:
        steps = run.config.trainer.max_steps
    # The task asks its trainer for two lengths; a trainer knows them only once it trains.
    length: Any = SimpleNamespace(estimated_stepping_batches=steps, max_epochs=epochs)
    task.trainer = length
    built: Any = task.configure_optimizers()
    if isinstance(built, tuple) and built and isinstance(built[0], list):  # and schedulers
        built = built[0]
    several = built if isinstance(built, list | tuple) else [built]
    return [each["optimizer"] if isinstance(each, dict) else each for each in several]


def estimate(
    task: "ImageTask",
    optimizers: Sequence[torch.optim.Optimizer],
    data: "ImageDataModule",
    *,
    half: bool,
) -> Estimate:
    """Train one step on the meta device, and count what it would hold in memory.

    Args:
        task: with its network on the meta device.
        optimizers: of the task.
        data: of which a batch is taken.
        half: whether activations have 16 bits.
    """
    facts, batch = data.facts(), data.batch_size
    shape = (batch, facts["channels"], *sides(facts["image_size"]))
    saved: dict[int, int] = {}  # by storage: what autograd keeps for the backward pass

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {p.untyped_storage()._cdata for p in task.parameters()}
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = task.net.train()(torch.zeros(shape)).float().square().mean()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step(lambda: 0.0)
    state = sum(
        _bytes(value)
        for optimizer in optimizers
        for entry in optimizer.state.values()
        for value in entry.values()
        if isinstance(value, Tensor)
    )
    activations = sum(size for key, size in saved.items() if key not in weights) // (1 + half)
    own = sum(_bytes(tensor) for tensor in task.net.state_dict().values())
    gradients = sum(_bytes(p) for p in task.parameters() if p.requires_grad)
    return Estimate(
        parameters=sum(p.numel() for p in task.net.parameters()),
        memory=own + gradients + state + activations,
        checkpoints=2 * (own + state),
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
