"""What the full benchmark measures of whole jobs: the cost of a sweep, growth, memory."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig

from resnet_lab.measure import seconds_of, trainer_rate

MB = 1e6
JOB = ("data=digits", "trainer.max_epochs=1", "callbacks.progress=null", "callbacks.summary=null")


class Memory(Callback):
    """Append the resident memory of this process to a file when a job has trained, in bytes."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write one line."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        with Path(self.path).open("a") as file:
            file.write(f"{pages * os.sysconf('SC_PAGE_SIZE')}\n")


def sweep_cost(jobs: int = 8) -> dict[str, float]:
    """Time one-epoch jobs on the digits as processes of their own and as one multirun.

    Returns:
        Seconds of both, their `ratio`, and `growth`: megabytes of resident memory that each job of
        the second half of the multirun added.
    """
    separate = sum(
        seconds_of("-m", "resnet_lab.train", *JOB, f"seed={seed}") for seed in range(jobs)
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "memory"
        memory = f"+callbacks.memory={{_target_: {__name__}.Memory, path: {path}}}"
        seeds = f"seed=range({jobs})"
        together = seconds_of("-m", "resnet_lab.train", "-m", *JOB, seeds, memory)
        resident = [int(line) for line in path.read_text().split()]
    half = resident[len(resident) // 2 :]
    return {
        "separate": separate,
        "together": together,
        "ratio": separate / together,
        "growth": (half[-1] - half[0]) / MB / max(1, len(half) - 1),
    }


def growth_with_images(cfg: DictConfig, counts: Sequence[int]) -> dict[str, float]:
    """Return microseconds an image, training with everything on, by the size of the data set."""
    found = {}
    for count in counts:
        sized = cfg.copy()
        sized.data.source = {
            "_target_": "resnet_lab.data.sources.RandomImages",
            "num_classes": cfg.data.num_classes,
            "size": cfg.data.image_size,
            "channels": cfg.data.channels,
            "count": count,
        }
        sized.data.val_size = 0.1
        rate, _ = trainer_rate(sized, max(5, min(60, int(0.9 * count) // cfg.data.batch_size)))
        found[str(count)] = 1e6 / rate
    return found


def growth_with_depth(cfg: DictConfig, depths: Sequence[int]) -> dict[str, float]:
    """Return microseconds an image, training with everything on, by the depth of the network."""
    found = {}
    for depth in depths:
        deep = cfg.copy()
        deep.model.depth = depth
        rate, _ = trainer_rate(deep, 8)
        found[str(depth)] = 1e6 / rate
    return found


def linearity(costs: Mapping[str, float]) -> float:
    """Return the largest deviation from a straight line through the costs, relative to them."""
    depths = torch.tensor([float(depth) for depth in costs], dtype=torch.float64)
    values = torch.tensor(list(costs.values()), dtype=torch.float64)
    design = torch.stack([depths, torch.ones_like(depths)], 1)
    line = design @ torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
    return float(((values - line) / line).abs().max())


BARE = """
import sys, torch
from resnet_lab.models.resnet import cifar_resnet
from torch.nn import functional as F
net = cifar_resnet(20, num_classes=10, in_channels=3).to(memory_format=torch.channels_last)
images = torch.rand(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
labels = torch.arange(128) % 10
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for _ in range(3):
    with torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[1] == "bf16-mixed"):
        loss = F.cross_entropy(net(images).float(), labels)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
"""


# Runs what follows its first argument, as Python would, and writes the peak there, in KiB.
TELL_PEAK = """
import re, runpy, sys
place, kind, what, *sys.argv[1:] = sys.argv[1:]
if kind == "-m":
    runpy.run_module(what, run_name="__main__", alter_sys=True)
else:
    exec(what, {"__name__": "__main__"})
status = open("/proc/self/status").read()
open(place, "w").write(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
"""


def peak_memory(precision: str) -> dict[str, float]:
    """Measure what a job holds at most, beside what torch itself needs for the same network.

    Returns:
        Megabytes: of a `bare` loop over ResNet-20 and one batch of CIFAR-10, of `ours`, of the
        `data` set, and the `difference` that remains.
    """
    bare = _peak("-c", BARE, precision)
    images = 60_000
    with TemporaryDirectory() as folder:
        ours = _peak(
            "-m", "resnet_lab.train", f"run_dir={folder}/run", "model=resnet20", "data=cifar10",
            "data.source._target_=resnet_lab.data.sources.RandomImages", "~data.source.dataset",
            "~data.source.root", "~data.source.mirrors", "+data.source.num_classes=10",
            "+data.source.size=32", "+data.source.channels=3", f"+data.source.count={images}",
            f"trainer.precision={precision}", "trainer.max_epochs=1", "trainer.accelerator=cpu",
            "trainer.limit_train_batches=20", "trainer.limit_val_batches=5",
            "trainer.limit_test_batches=5",
        )  # fmt: skip
    data = 2 * images * 32 * 32 * 3 / MB  # training and test images
    return {"bare": bare, "ours": ours, "data": data, "difference": ours - bare - data}


def _peak(*arguments: str) -> float:
    """Run Python and return its peak resident memory in megabytes.

    The process tells it itself, from /proc: what the system reports of a child counts the memory of
    the parent that it was forked from.

    Raises:
        ValueError: it failed.
    """
    with TemporaryDirectory() as folder:
        place = Path(folder) / "peak"
        result = subprocess.run(
            [sys.executable, "-c", TELL_PEAK, str(place), *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            raise ValueError(f"a measured command failed: {result.stderr.strip()[-500:]}")
        return 1024 * float(place.read_text()) / MB


def whole_jobs(cfg: DictConfig) -> dict[str, Any]:
    """Measure what takes minutes: the cost of a sweep, growth with images and depth, peak memory.

    Args:
        cfg: a composed configuration of a CIFAR ResNet.
    """
    images = growth_with_images(cfg, (1_000, 10_000, 60_000))
    depths = growth_with_depth(cfg, (20, 32, 56, 110))
    return {
        "sweep": sweep_cost(),
        "images": {**images, "ratio": max(images.values()) / min(images.values())},
        "depth": {**depths, "deviation": linearity(depths)},
        "memory": peak_memory(str(cfg.trainer.precision)),
    }
