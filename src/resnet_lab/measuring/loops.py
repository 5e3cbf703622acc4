"""Steps a second of training loops: the bare one, Lightning's, and a whole run of ours."""

import contextlib
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lab.active_run import ActiveRun
from resnet_lab.measuring import pair
from resnet_lab.measuring.loader import loader_rate
from resnet_lab.run import Run
from resnet_lab.train import fit_and_test


class Subject:
    """What is measured: a composed configuration, its data, one batch of them ready on the device.

    Args:
        cfg: a composed, resolved configuration.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.data = Run(Path(), cfg, {}).build_data()
        self.data.setup("fit")
        on_gpu = torch.cuda.is_available() and cfg.trainer.accelerator != "cpu"
        self.device = torch.device("cuda" if on_gpu else "cpu")
        images, labels = self.data.finish(next(iter(self.data.train_dataloader())), augment=True)
        self.batch = images.to(self.device), labels.to(self.device)

    def bare(self, steps: int, **changed: Any) -> float:
        """Return images/s of the bare loop around this network, over its one batch.

        Args:
            steps: how many are timed.
            changed: `precision`, `channels_last` or `compile`, where not the configuration's.
        """
        task = self.cfg.task
        cfg = self.cfg.copy()
        cfg.task.channels_last = changed.get("channels_last", task.channels_last)
        cfg.task.compile = changed.get("compile", task.compile)
        classifier = Run(Path(), cfg, {}).build_task()
        net = classifier.net.to(self.device)
        layout = torch.channels_last if cfg.task.channels_last else torch.contiguous_format
        images = self.batch[0].contiguous(memory_format=layout)
        assert classifier.optimizer is not None
        optimizer = classifier.optimizer(net.parameters())
        precision = changed.get("precision", self.cfg.trainer.precision)
        return bare_rate(net, optimizer, (images, self.batch[1]), precision, steps)

    def steps(self) -> int:
        """Return how many steps take about four seconds: enough to time, at least five."""
        return max(5, round(4 * self.bare(3) / int(self.cfg.data.batch_size)))

    def against_bare(self, repeats: int) -> dict[str, float]:
        """Compare a run with everything on with the bare loop.

        Returns:
            Images/s of `bare` and `ours`, their `ratio`, and seconds `between_epochs` (records,
            loggers, checkpoints).
        """
        steps = self.steps()
        between = []

        def ours() -> float:
            rate, seconds = trainer_rate(self.cfg, steps)
            between.append(seconds)
            return rate

        bare, trained, ratio = pair(lambda: self.bare(steps), ours, repeats)
        seconds = statistics.median(between)
        return {"bare": bare, "ours": trained, "ratio": ratio, "between_epochs": seconds}

    def step_overhead(self, repeats: int, steps: int = 200) -> dict[str, float]:
        """Compare the loops around a network that costs nothing, in milliseconds a step.

        Returns:
            Of `lightning`'s bare loop and of `ours`, everything on; their `difference`; and what of
            it is `input`: a batch chosen, augmented and normalised.
        """
        free = self.cfg.copy()
        free.model = {
            "_target_": f"{__name__}.free_network",
            "num_classes": free.data.num_classes,
            "in_channels": free.data.channels,
        }
        free.trainer.accelerator, free.trainer.precision = "cpu", "32-true"
        free.callbacks.tensorboard.graph = False
        net = free_network(free.data.num_classes, free.data.channels)
        batch = self.batch[0].cpu(), self.batch[1].cpu()
        lightning, ours, _ = pair(
            lambda: 1e3 / lightning_rate(net, batch, steps),
            lambda: 1e3 * free.data.batch_size / trainer_rate(free, steps)[0],
            repeats,
        )
        delivered = [loader_rate(self.data, 0.5) for _ in range(repeats)]
        return {
            "lightning": lightning,
            "ours": ours,
            "difference": ours - lightning,
            "input": 1e3 * free.data.batch_size / statistics.median(delivered),
        }


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


def free_network(num_classes: int, in_channels: int) -> nn.Module:
    """Return a network that costs next to nothing: one linear layer on the mean of each channel."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
