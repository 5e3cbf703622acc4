"""Estimate the memory and the checkpoints of a job on the meta device, and time an epoch here."""

import time
from collections.abc import Sequence
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resnet_lab.core.device import free_on
from resnet_lab.data.pixels import sides
from resnet_lab.runs.trained.run import Run

if TYPE_CHECKING:
    from resnet_lab.data import ImageDataModule
    from resnet_lab.training.image_task import ImageTask


STEPS = 2  # that are timed


class Estimate(NamedTuple):
    """How large a job is."""

    parameters: int
    memory: int  # bytes: weights, gradients, optimizer state and what a batch leaves for backward
    checkpoints: int  # bytes: best.ckpt and last.ckpt


class EpochTime(NamedTuple):
    """What the batches of an epoch take on this machine."""

    batches: int
    load: float  # seconds until a batch is there
    step: float  # seconds to train on it
    workers: bool  # whether workers load the next batches meanwhile

    @property
    def seconds(self) -> float:
        """Seconds of an epoch."""
        one = max(self.load, self.step) if self.workers else self.load + self.step
        return self.batches * one


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

    The network of the task is on the meta device; with `half`, activations have 16 bits.
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
        value.nbytes
        for optimizer in optimizers
        for entry in optimizer.state.values()
        for value in entry.values()
        if isinstance(value, Tensor)
    )
    activations = sum(size for key, size in saved.items() if key not in weights) // (1 + half)
    own = sum(tensor.nbytes for tensor in task.net.state_dict().values())
    gradients = sum(p.nbytes for p in task.parameters() if p.requires_grad)
    return Estimate(
        parameters=sum(p.numel() for p in task.net.parameters()),
        memory=own + gradients + state + activations,
        checkpoints=2 * (own + state),
    )


def time_epoch(
    run: Run, task: "ImageTask", data: "ImageDataModule", device: torch.device, most: int = 4
) -> EpochTime:
    """Load a few batches, and train a few steps on one of them.

    Without a GPU, the steps are of `most` images, as a batch of many may take minutes.
    """
    loader = data.train_dataloader()
    workers = getattr(loader, "workers", 0)
    batches = iter(loader)
    batch = next(batches)  # the workers start
    start, count = time.perf_counter(), 0
    # More than the workers have loaded in advance.
    for _ in islice(batches, 2 * workers + STEPS):
        count += 1
    load = (time.perf_counter() - start) / max(1, count)
    batch = data.transfer_batch_to_device(batch, device, 0)
    if free_on(device) is None:
        batch = batch._replace(pixels=batch.pixels[:most], labels=batch.labels[:most])
    task.to(device).net.train()
    optimizers = build_optimizers(run, task, data)
    precision = str(run.config.trainer.precision)
    kind = torch.bfloat16 if precision.startswith("bf16") else torch.float16
    seconds = []
    for _ in range(1 + STEPS):  # the first one is slow
        start = time.perf_counter()
        images, _ = data.finish(batch, augment=True)
        with torch.autocast(device.type, kind, enabled=precision.endswith("mixed")):
            loss = task.net(task.arrange(images)).float().square().mean()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step(lambda: 0.0)
            optimizer.zero_grad()
        loss.item()  # waits for the device
        seconds.append(time.perf_counter() - start)
    step = min(seconds[1:]) * data.batch_size / len(batch.pixels)
    return EpochTime(len(loader), load, step, workers > 0)
