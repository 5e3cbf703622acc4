"""What the benchmark measures: each function times one thing, on this machine, now."""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.active_run import ActiveRun
from resnet_lab.data import ImageDataModule
from resnet_lab.train import fit_and_test

IMPORTS = "import torch, torchvision, lightning"


class LastStep(Callback):
    """End the process right after its first optimizer step; for `seconds_to_first_step`."""

    def on_train_batch_end(self, trainer: Trainer, *arguments: object) -> None:
        """Leave without ceremony: only the way to here is of interest."""
        os._exit(0)


def bare_rate(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    precision: str,
    steps: int,
) -> float:
    """Return images/s of the shortest training loop there is, over one batch in place."""
    images, labels = batch
    dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float16
    mixed = torch.autocast(images.device.type, dtype, enabled=precision.endswith("mixed"))

    def step() -> None:
        with mixed:
            loss = F.cross_entropy(net(images).float(), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    return len(labels) * per_second(step, steps, images.device)


def per_second(step: Callable[[], object], steps: int, device: torch.device | None = None) -> float:
    """Return how often a second `step` runs, after two rounds to warm up."""
    for _ in range(2):
        step()
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return steps / (time.perf_counter() - start)


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def trainer_rate(cfg: DictConfig, steps: int) -> tuple[float, float]:
    """Train with everything on, as a user does.

    Args:
        cfg: a composed configuration; two epochs of `steps` batches are run, the second counts.
        steps: batches in an epoch.

    Returns:
        Images/s while training, and seconds between the epochs (records, loggers, checkpoints).
    """
    cfg = cfg.copy()
    changes = {"max_epochs": 2, "limit_train_batches": steps, "limit_val_batches": 1}
    cfg.trainer = OmegaConf.merge(cfg.trainer, changes)
    cfg.test = None
    clock = _Clock()
    with (
        TemporaryDirectory() as folder,
        contextlib.redirect_stdout(_Terminal()),
        ActiveRun.open(Path(folder) / "run", cfg) as run,
    ):
        fit_and_test(run, clock)
    return clock.batches * cfg.data.batch_size / clock.training, clock.between


class _Clock(Callback):
    """Time the second epoch, the validation inside it left out, and what lies before it."""

    def __init__(self) -> None:
        self.training = self.between = 0.0
        self.batches = 0  # of an epoch: a small data set has fewer than asked for
        self._start = self._end = self._validation = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _wait(pl_module.device)
        self._start, self._validation = time.perf_counter(), 0.0
        self.between = self._start - self._end

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _wait(pl_module.device)
        self._validation -= time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation += time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _wait(pl_module.device)
        self._end = time.perf_counter()
        self.batches = int(trainer.num_training_batches)
        self.training = self._end - self._start - self._validation


class _Plain(LightningModule):
    """Lightning's own loop with nothing in it: no metric, no log."""

    def __init__(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.net, self.batch = net, batch

    def training_step(self, batch: object, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.net(self.batch[0]), self.batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def lightning_rate(net: nn.Module, batch: tuple[Tensor, Tensor], steps: int) -> float:
    """Return steps/s of Lightning's bare loop: no logger, metric, checkpoint or progress bar."""
    clock = _Clock()
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, limit_train_batches=steps, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[clock],
    )  # fmt: skip
    trainer.fit(_Plain(net, batch), range(steps))
    return clock.batches / clock.training


class _Terminal(io.StringIO):
    """A terminal that nobody sees: the progress bar is drawn in full."""

    def isatty(self) -> bool:
        return True


def loader_rate(data: ImageDataModule, seconds: float) -> float:
    """Return images/s that our loader delivers ready for the network."""
    loader = data.train_dataloader()
    return _delivered(loader, lambda batch: len(data.finish(batch, augment=True)[1]), seconds)


def torchvision_rate(data: ImageDataModule, seconds: float, workers: int = 2) -> float:
    """Return images/s of torchvision's transforms, image by image, in a DataLoader's workers."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    images, indices = data.images("train")
    size = images.pixels.shape[1]
    steps: list[object] = []
    for change in data.augment:
        if type(change).__name__ == "RandomCrop":
            steps.append(transforms.RandomCrop(size, padding=change.padding))  # type: ignore[attr-defined]
        elif type(change).__name__ == "RandomHorizontalFlip":
            steps.append(transforms.RandomHorizontalFlip(change.p))  # type: ignore[attr-defined]
    facts = data.facts()
    steps += [transforms.ToTensor(), transforms.Normalize(facts["mean"], facts["std"])]
    transform = transforms.Compose(steps)

    class Decoded(Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return len(indices)

        def __getitem__(self, number: int) -> tuple[Tensor, int]:
            index = int(indices[number])
            picture = Image.fromarray(images.pixels[index].numpy().squeeze())
            return transform(picture), int(images.labels[index])

    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        Decoded(), data.batch_size, shuffle=True, num_workers=workers, drop_last=True
    )
    return _delivered(loader, lambda batch: len(batch[1]), seconds)


def _delivered(loader: Iterable[Any], take: Callable[[Any], int], seconds: float) -> float:
    """Count images from the second batch on, for some seconds or one epoch."""
    batches = iter(loader)
    take(next(batches))
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += take(batch)
        if time.perf_counter() - start > seconds:
            break
    return count / (time.perf_counter() - start)


def seconds_of(*arguments: str) -> float:
    """Return the seconds that Python takes over the arguments, from start to end.

    Raises:
        ValueError: it failed; with what it said.
    """
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "RESNET_LAB_LOGS": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
    if result.returncode != 0:
        reason = result.stderr.strip() or f"exit code {result.returncode}"
        raise ValueError(f"a measured command failed: {reason}")
    return seconds


def seconds_to_first_step(repeats: int) -> tuple[float, float]:
    """Return median seconds of the imports alone, and from command to first step on the digits."""
    first_step = "+callbacks.last_step._target_=resnet_lab.measure.LastStep"
    imports, ours = [], []
    for _ in range(repeats):
        imports.append(seconds_of("-c", IMPORTS))
        ours.append(seconds_of("-m", "resnet_lab.train", "data=digits", first_step))
    return statistics.median(imports), statistics.median(ours)


def free_network(num_classes: int, in_channels: int) -> nn.Module:
    """Return a network that costs next to nothing: one linear layer on the mean of each channel."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
