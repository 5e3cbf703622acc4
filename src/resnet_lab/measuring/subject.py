"""A configuration with its data and its network, ready to be timed."""

import statistics
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from resnet_lab.core.threads import use
from resnet_lab.measuring import medians
from resnet_lab.measuring.loops import BareLoop, timed_training
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.preparing.thread_choice import for_training

TYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}


class Subject:
    """A composed configuration, its data, and one batch of it on the device.

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
        """Choose the number of threads as a run would; both sides of a comparison then use it."""
        net = Run(Path(), self.cfg, {}, trust=True).build_task().net
        self.cfg.trainer.threads = for_training(self.cfg, net, self.data)
        use(self.cfg.trainer.threads)

    def bare(self, **changed: Any) -> BareLoop:
        """Build the bare loop around this network and its one batch, with some settings changed."""
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
        """Compare a whole run with the bare loop; they take turns every quarter of a second.

        Args:
            repeats: epochs of eight such turns.

        Returns:
            Images/s of `bare` and `ours`, their `ratio`, medians of `n`; and seconds
            `between_epochs` (records, loggers, checkpoints), the median of `n_between`.
        """
        steps, loop = self.steps(), self.bare()
        loop.rate(steps)
        clock = timed_training(self.cfg, 8 * steps, repeats, 8, lambda: loop.rate(steps, warm_up=0))
        bare, ours, ratio = medians(clock.others, clock.rates)
        images = self.cfg.data.batch_size
        seconds = statistics.median(clock.between)
        return {
            "bare": images * bare, "ours": images * ours, "ratio": ratio, "between_epochs": seconds,
            "n": len(clock.rates), "n_between": len(clock.between),
        }  # fmt: skip
