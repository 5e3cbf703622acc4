"""Measure time and peak memory of whole commands, each in a process of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.speed import in_turn, medians, ratio

ROOT = Path(__file__).resolve().parents[2]  # of the repository: measured commands import callbacks
IMPORTS = "import torch, torchvision, lightning"
MB = 1e6
JOB = ("data=digits", "trainer.max_epochs=1", "callbacks.progress=null", "callbacks.summary=null")


def seconds_of(*arguments: str, **environment: str) -> float:
    """Return the seconds that Python takes over its arguments, with further variables set.

    Raises a ValueError with the last line that it printed if it failed.
    """
    places = [environment.get("PYTHONPATH"), os.environ.get("PYTHONPATH"), str(ROOT)]
    path = os.pathsep.join(filter(None, places))
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "RESNET_LAB_LOGS": folder, **environment, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - start
    if result.returncode != 0:
        *_, reason = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise ValueError(f"a measured command failed: {reason}")
    return seconds


def start_up(repeats: int) -> dict[str, float]:
    """Time the imports of torch, torchvision and lightning, and a training up to its first step.

    Returns:
        Seconds of the `imports` alone and from command to `first_step` on the digits, medians of
        `n`, and the median `ratio` of the latter to the former.
    """
    first_step = f"+callbacks.last_step._target_={__name__}.LastStep"
    commands = {
        "imports": lambda: seconds_of("-c", IMPORTS),
        "first_step": lambda: seconds_of("-m", "resnet_lab.train", "data=digits", first_step),
    }
    seconds = in_turn(commands, repeats)
    return {**medians(seconds), "ratio": ratio(seconds, "first_step", "imports"), "n": repeats}


class LastStep(Callback):
    """End the process right after its first optimizer step; for `start_up`."""

    def on_train_batch_end(self, trainer: Trainer, *arguments: object) -> None:
        """End at once: only the time until here is measured."""
        os._exit(0)


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
        Seconds of both, each measured once, their `ratio`, and `growth`: megabytes of resident
        memory that each job of the second half of the multirun added.
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
        "n": 1,
    }


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
        Megabytes, each measured once: of a `bare` loop over ResNet-20 and one batch of CIFAR-10, of
        `ours`, of the `data` set, and the `difference` that remains.
    """
    bare = _peak("-c", BARE, precision)
    images = 60_000
    with TemporaryDirectory() as folder:
        ours = _peak(
            "-m", "resnet_lab.train", f"run_dir={folder}/run", "model=resnet20", "data=cifar10",
            "data.source._target_=resnet_lab.measuring.random_images.RandomImages",
            "~data.source.dataset",
            "~data.source.root", "~data.source.mirrors", "+data.source.num_classes=10",
            "+data.source.size=32", "+data.source.channels=3", f"+data.source.count={images}",
            f"trainer.precision={precision}", "trainer.max_epochs=1", "trainer.accelerator=cpu",
            "trainer.limit_train_batches=20", "trainer.limit_val_batches=5",
            "trainer.limit_test_batches=5",
        )  # fmt: skip
    data = 2 * images * 32 * 32 * 3 / MB  # training and test images
    return {"bare": bare, "ours": ours, "data": data, "difference": ours - bare - data, "n": 1}


def _peak(*arguments: str) -> float:
    """Run Python and return its peak resident memory in megabytes.

    The process tells it itself, from /proc: what the system reports of a child counts the memory of
    the parent that it was forked from.
    """
    with TemporaryDirectory() as folder:
        place = Path(folder) / "peak"
        seconds_of("-c", TELL_PEAK, str(place), *arguments)
        return 1024 * float(place.read_text()) / MB
