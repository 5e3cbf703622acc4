"""What is measured: a configuration with its data and its network."""

import statistics
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from resnet_lab.core.threads import use
from resnet_lab.measuring import middle
from resnet_lab.measuring.loader import loader_rate
from resnet_lab.measuring.loops import BareLoop, free_network, lightning_rate, timed_training
from resnet_lab.runs.run import Run
from resnet_lab.training.thread_choice import for_training

TYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}


class Subject:
    """What is measured: a composed configuration, its data, one batch of them ready on the device.

    Args:
        cfg: a composed, resolved configuration.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.data = Run(Path(), cfg, {}, trust=True).build_data()
        self.data.setup("fit")
        on_gpu = torch.cuda.is_available() and cfg.trainer.accelerator != "cpu"
        self.device = torch.device("cuda" if on_gpu else "cpu")
        images, labels = self.data.finish(next(iter(self.data.train_dataloader())), augment=True)
        self.batch = images.to(self.device), labels.to(self.device)

    def settle_threads(self) -> None:
        """Choose the number of threads as a run would, once for both sides of every question."""
        net = Run(Path(), self.cfg, {}).build_task().net
        self.cfg.trainer.threads = for_training(self.cfg, net, self.data)
        use(self.cfg.trainer.threads)

    def bare(self, **changed: Any) -> BareLoop:
        """Build the bare loop around this network and its one batch.

        Args:
            changed: `precision`, `channels_last` or `compile`, where not the configuration's.
        """
        cfg = self.cfg.copy()
        cfg.task.channels_last = changed.get("channels_last", cfg.task.channels_last)
        cfg.task.compile = changed.get("compile", cfg.task.compile)
        classifier = Run(Path(), cfg, {}, trust=True).build_task()
        precision = str(changed.get("precision", cfg.trainer.precision))
        net = classifier.to(self.device, TYPES.get(precision, torch.float32)).net
        images = classifier.arrange(self.batch[0])  # as training feeds them
        assert classifier.optimizer is not None
        optimizer = classifier.optimizer(net.parameters())
        return BareLoop(net, optimizer, (images, self.batch[1]), precision)

    def steps(self) -> int:
        """Return how many steps take about a quarter of a second; at least one."""
        return max(1, round(self.bare().rate(3) / 4))

    def against_bare(self, repeats: int) -> dict[str, float]:
        """Compare a run with everything on with the bare loop, in turn every quarter of a second.

        Args:
            repeats: epochs of eight such turns.

        Returns:
            Images/s of `bare` and `ours`, their `ratio`, medians of `n`; and seconds
            `between_epochs` (records, loggers, checkpoints), the median of `n_between`.
        """
        steps, loop = self.steps(), self.bare()
        loop.rate(steps)
        clock = timed_training(self.cfg, 8 * steps, repeats, 8, lambda: loop.rate(steps, warm_up=0))
        bare, ours, ratio = middle(clock.others, clock.rates)
        images = self.cfg.data.batch_size
        seconds = statistics.median(clock.between)
        return {
            "bare": images * bare, "ours": images * ours, "ratio": ratio, "between_epochs": seconds,
            "n": len(clock.rates), "n_between": len(clock.between),
        }  # fmt: skip

    def step_overhead(self, repeats: int, steps: int = 200) -> dict[str, float]:
        """Compare the loops around a network that costs nothing, in milliseconds a step.

        Returns:
            Of `lightning`'s bare loop and of `ours`, everything on; their `difference`; medians of
            `n`; and what of it is `input`: a batch chosen, augmented and normalised.
        """
        free = self.cfg.copy()
        free.model = {
            "_target_": f"{free_network.__module__}.{free_network.__name__}",
            "num_classes": free.data.num_classes,
            "in_channels": free.data.channels,
        }
        free.trainer.accelerator, free.trainer.precision = "cpu", "32-true"
        free.callbacks.tensorboard.graph = False
        net = free_network(free.data.num_classes, free.data.channels)
        batch = self.batch[0].cpu(), self.batch[1].cpu()
        clock = timed_training(
            free, steps, 2 * repeats, other=lambda: lightning_rate(net, batch, steps)
        )
        pairs = [
            (1e3 / theirs, 1e3 / ours)
            for theirs, ours in zip(clock.others, clock.rates, strict=True)
        ]
        delivered = [loader_rate(self.data, 0.5) for _ in range(repeats)]
        return {
            "lightning": statistics.median(theirs for theirs, _ in pairs),
            "ours": statistics.median(ours for _, ours in pairs),
            "difference": statistics.median(ours - theirs for theirs, ours in pairs),
            "input": 1e3 * free.data.batch_size / statistics.median(delivered),
            "n": len(pairs),
        }
