"""Kill runs and sweeps at any moment, run the same command again, and compare the records.

A run is killed before each change that it makes to a file, and at random moments; a sweep and a
pool at random moments. The signal is SIGKILL, which no process can handle.
"""

import csv
import importlib.util
import json
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from benchmarks.faults import forked

# The smallest run that has everything: two epochs and their checkpoints, validation, a test.
TINY = (
    "model.depth=8", "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "trainer.limit_train_batches=3", "callbacks.tensorboard.graph=false",
    "trainer.threads=1",
)  # fmt: skip
SWEEP = ("-m", *TINY, "seed=0,1")
POOL = ("hydra/launcher=local_pool", "hydra.launcher.workers=2")
# Entries of a status that must be equal in both.
SAME = ("state", "best", "test", "epochs", "steps", "metrics")


def train(*words: str) -> Callable[[], None]:
    """Return the training command with these words, to be called in a child."""

    def command() -> None:
        import __main__
        import resnet_lab.train

        __main__.__spec__ = importlib.util.find_spec("resnet_lab.train")  # for further processes
        sys.argv = ["train", *words]
        resnet_lab.train.main()

    return command


def still_running(directory: Path, seconds: float = 20) -> list[str]:
    """Return the commands of the processes of a directory that do not end by themselves.

    The jobs of a pool are in sessions of their own, so a kill of the pool's group misses them.
    """
    end = time.monotonic() + seconds
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found += [command] if f"{directory}" in command else []
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)


class Attack:
    """One command, its undisturbed result, and what became of the disturbed ones.

    Args:
        folder: for all that is made.
        words: of the command, without its directory.
        key: by which the command's directory is named, "run_dir" or "sweep_dir".
    """

    def __init__(self, folder: Path, words: tuple[str, ...], key: str = "run_dir") -> None:
        self.folder = folder
        self.words = words
        self.key = key
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        folder.mkdir(parents=True)
        self.operations = folder / "operations.txt"
        self.undisturbed = folder / "undisturbed"
        ended = forked.run(
            train(*words, f"{key}={self.undisturbed}"),
            folder / "output",
            below=self.undisturbed,
            count=self.operations,
        )
        if ended.code:
            raise RuntimeError(f"the undisturbed command failed: {ended.errors}")
        self.seconds = ended.seconds

    def runs(self, directory: Path) -> Iterator[tuple[Path, Path]]:
        """Yield each run of a disturbed directory, and the same of the undisturbed one."""
        if self.key == "run_dir":
            yield directory, self.undisturbed
            return
        for status in sorted(self.undisturbed.glob("*/status.json")):
            yield directory / status.parent.name, status.parent

    def disturb(
        self, *, kill_after: float | None = None, kill_before: int | None = None, times: int = 1
    ) -> None:
        """Kill the command so many times, run it to its end, compare, and count."""
        number = self.counts["tried"]
        directory = self.folder / f"{number}"
        command = train(*self.words, f"{self.key}={directory}")
        output = self.folder / "output"
        for _ in range(times):
            ended = forked.run(
                command, output, kill_after=kill_after, kill_before=kill_before, below=directory
            )
            self.counts["kills"] += ended.code < 0
        self.counts["tried"] += 1
        what = f"killed after {kill_after} s" if kill_after else f"killed before {kill_before}"
        ended = forked.run(command, output)
        if left := still_running(directory):
            self._count("wrong", f"{what}: left running: {left}", directory)
        if ended.code:
            text = ended.errors.strip()
            one_line = text.count("\n") == 0 and text.startswith("error: ")
            self._count("lost" if one_line else "unclear", f"{what}: {text[-300:]}", directory)
            return
        try:
            for run, undisturbed in self.runs(directory):
                for kind, found in differences(run, undisturbed).items():
                    self._count(kind, f"{what}: {found}", directory)
        except (OSError, ValueError, KeyError):
            self._count("lost", f"{what}: {traceback.format_exc(limit=1)}", directory)
        shutil.rmtree(directory, ignore_errors=True)

    def _count(self, kind: str, note: str, directory: Path) -> None:
        self.counts[kind] += 1
        self.notes.append(f"{kind}: {directory.name}: {note}")
        print(f"  {self.notes[-1]}", flush=True)
        if directory.exists():  # for whoever wants to know why
            shutil.copytree(directory, self.folder / f"kept_{directory.name}", dirs_exist_ok=True)


def every_file_operation(folder: Path, most: int | None = None) -> Attack:
    """Kill a run before each change that it makes to a file, or before `most` of them."""
    attack = Attack(folder, TINY)
    total = len(attack.operations.read_text().splitlines())
    step = max(1, -(-total // most)) if most else 1
    for number in range(0, total, step):
        attack.disturb(kill_before=number)
    return attack


def random_moments(
    folder: Path,
    kills: int,
    draw: random.Random,
    words: tuple[str, ...] = TINY,
    key: str = "run_dir",
) -> Attack:
    """Kill a command at random moments of its life, every third one twice."""
    attack = Attack(folder, words, key)
    while attack.counts["kills"] < kills:
        attack.disturb(
            kill_after=draw.uniform(0.0, attack.seconds), times=1 + (draw.random() < 1 / 3)
        )
    return attack


def differences(run: Path, undisturbed: Path) -> dict[str, str]:
    """Return what is lost, duplicated or wrong in a run directory.

    Returns:
        By kind ("lost", "duplicated", "wrong"), what was found first; empty if all is well.
    """
    found: dict[str, str] = {}
    if leftovers := [str(path.name) for path in run.rglob("*.part")]:
        found["wrong"] = f"left behind: {leftovers}"
    ours, theirs = (json.loads((place / "status.json").read_text()) for place in (run, undisturbed))
    for key in SAME:
        if ours.get(key) != theirs.get(key):
            found["wrong"] = f"status {key}: {ours.get(key)} instead of {theirs.get(key)}"
    _compare("checkpoint", _weights(run), _weights(undisturbed), found)
    _compare("metrics.csv", _rows(run), _rows(undisturbed), found)
    _compare("events", _events(run), _events(undisturbed), found)
    return found


def _compare(what: str, ours: Counter[Any], theirs: Counter[Any], found: dict[str, str]) -> None:
    """Compare two multisets of (place, value)."""
    if missing := theirs - ours:
        kind = "wrong" if {key[0] for key in missing} <= {key[0] for key in ours} else "lost"
        found.setdefault(kind, f"{what}: {len(missing)} missing, such as {next(iter(missing))}")
    if more := ours - theirs:
        kind = "duplicated" if set(more) <= set(theirs) else "wrong"
        found.setdefault(kind, f"{what}: {len(more)} more, such as {next(iter(more))}")


def _weights(run: Path) -> Counter[Any]:
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    weights = state["state_dict"].items()
    return Counter((name, tensor.numpy().tobytes()) for name, tensor in weights)


def _rows(run: Path) -> Counter[Any]:
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return Counter(
        ((row["step"], name), value)
        for row in rows
        for name, value in row.items()
        if name != "step" and value
    )


def _events(run: Path) -> Counter[Any]:
    read = EventAccumulator(str(run), size_guidance={SCALARS: 0}).Reload()
    return Counter(
        ((tag, event.step), event.value)
        for tag in read.Tags()["scalars"]
        if not tag.startswith("progress/")  # seconds, which no two runs have in common
        for event in read.Scalars(tag)
    )
