"""What a finding is measured on: a network with the images of a split, or the runs of a sweep."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from resnet_lab.core.console import quiet_lightning
from resnet_lab.data import ImageDataModule
from resnet_lab.reporting.reading import read_results
from resnet_lab.reporting.run_record import RunRecord
from resnet_lab.runs.trained.inference import leave_uncompiled
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.metrics import proportion
from resnet_lab.training.weights.pretrained import load_pretrained
from resnet_lab.training.weights.published import digest, fetch, find

BATCH = 100  # images; a lesion study keeps the inputs of all blocks of a batch
SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(eq=False)
class Subject:
    """A network in evaluation mode, with the images of a split; they are read when asked for."""

    name: str  # to show
    net: nn.Module
    data: ImageDataModule
    split: str  # "test", "val" or "train"
    config: DictConfig  # of the run or of the command line
    source: Path | None  # file of the weights; None: an untrained network

    def __post_init__(self) -> None:
        self.net = self.net.float().eval().to(memory_format=torch.channels_last)

    @classmethod
    def of_run(
        cls, directory: str, split: str | None, data_dir: str | None = None, *, trust: bool = False
    ) -> "Subject":
        """Return the network that a run has tested, on the validation split unless told.

        Raises:
            ValueError: no such run or data.
        """
        quiet_lightning()
        run = Run.load(directory, trust=trust)
        leave_uncompiled(run)
        if data_dir is not None:
            run.move_data(data_dir)
        checkpoint = run.config.test or "last"
        task, facts = run.load_task(checkpoint)
        path = run.checkpoint(checkpoint)
        data = run.build_data(facts)
        return cls(run.directory.name, task.net, data, split or "val", run.config, path)

    @classmethod
    def of_config(cls, cfg: DictConfig, split: str | None, seed: int) -> "Subject":
        """Return the network of a configuration, with the weights that it names or untrained.

        Raises:
            ValueError: the weights do not exist or do not fit.
        """
        quiet_lightning()
        torch.manual_seed(seed)
        run = Run(Path(), cfg, {}, trust=True)
        net, weights, path = run.build_net(), cfg.model.get("weights"), None
        name = str(cfg.model.name)
        if weights is not None:
            known = find(str(weights))
            if known and split == "val":
                raise ValueError(
                    f"--split val: {weights} was trained on all training images, those of the "
                    "validation split among them; leave it out to measure on the test split"
                )
            load_pretrained(net, str(weights))
            path = fetch(str(weights)) if known and not Path(weights).exists() else Path(weights)
            name += " (published)" if known else f" ({path.name})"
            split = split or ("test" if known else "val")  # those saw all training images
        return cls(name, net, run.build_data(), split or "val", cfg, path)

    @property
    def trained(self) -> bool:
        """Whether the network has weights of a training."""
        return self.source is not None

    @cached_property
    def _all(self) -> tuple[Tensor, Tensor]:
        self.data.prepare_data()
        self.data.setup("test" if self.split == "test" else "validate")
        images, indices = self.data.images(self.split)
        if not len(indices):
            raise ValueError(f"{self.name} has no validation split: use --split test")
        return images.pixels[indices], images.labels[indices]

    def images(self, count: int | None, seed: int) -> tuple[Tensor, Tensor]:
        """Return up to `count` inputs, float32 [N, C, H, W], and labels, drawn without repeats."""
        pixels, labels = self._all
        if count is not None and count < len(labels):
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
            pixels, labels = pixels[order[:count]], labels[order[:count]]
        return self.data.normalise(pixels), labels

    def batches(self, count: int | None, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield these images, at most `BATCH` at a time."""
        inputs, labels = self.images(count, seed)
        yield from zip(torch.split(inputs, BATCH), torch.split(labels, BATCH), strict=True)

    def logits(self, count: int | None, seed: int) -> tuple[Tensor, Tensor]:
        """Return logits [N, classes] and labels [N] of these images."""
        with torch.inference_mode():
            found = [(self.net(inputs), labels) for inputs, labels in self.batches(count, seed)]
        logits, labels = zip(*found, strict=True)
        return torch.cat(logits).clone(), torch.cat(labels).clone()

    def record(self) -> dict[str, Any]:
        """Return what identifies the subject."""
        return {
            "name": self.name,
            "network": str(self.config.model.name),
            "weights": self.source.name if self.source else None,
            "sha256": digest(self.source) if self.source else None,
            "data": str(self.data.name),
            "split": SPLITS[self.split] if self.trained else None,
            "parameters": sum(part.numel() for part in self.net.parameters()),
        }


class SweepSubject:
    """The runs of a sweep, judged by what they recorded; a ValueError if there are none."""

    trained = True

    def __init__(self, directory: str) -> None:
        results = read_results([directory])
        self.name, self.jobs = results.name, results.jobs

    @staticmethod
    def training_accuracy(job: RunRecord) -> dict[str, float]:
        """Return the accuracy of the last epoch, with its 95 % interval; 0 if it diverged."""
        if job.diverged:
            return {"value": 0.0, "low": 0.0, "high": 0.0}
        steps = int(job.status["steps"]) // int(job.status["epochs"])
        images = steps * int(job.config["data.batch_size"])
        found = proportion(round(job.status["metrics"]["train/acc"] * images), images)
        return {"value": found["acc"], "low": found["acc_low"], "high": found["acc_high"]}

    def record(self) -> dict[str, Any]:
        """Return what identifies the subject."""
        data = {str(job.config.get("data.name")) for job in self.jobs}
        return {"name": self.name, "runs": len(self.jobs), "data": ", ".join(sorted(data))}
