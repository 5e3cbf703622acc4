"""Runs of two processes: equal to one process, on two nodes of this machine, and when one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_lab.runs.trained.run import Run
from tests.helpers import TINY, column, fits, result, rows, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed"),
]

STARTED: list["subprocess.Popen[str]"] = []

# The first time, training waits in its second epoch until there is a file `go`.
GATE = """
import os, time
from pathlib import Path
from lightning.pytorch import Callback

class Gate(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        reached = Path(f"reached.{trainer.global_rank}")
        if trainer.current_epoch == 1 and batch_idx == 1 and not reached.exists():
            reached.write_text(str(os.getpid()))
            while not Path("go").exists():
                time.sleep(0.05)
"""

FLAT = """
from torch import nn

class Flat(nn.Sequential):
    def __init__(self, dropout, num_classes, in_channels):
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, num_classes))
"""


SEEN = """
import json, pathlib
from lightning.pytorch import Callback

class Seen(Callback):
    def __init__(self, name):
        self.name, self.greys = name, []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.greys.append((batch[0][:, 0, 0, 0] * 255).round().int().tolist())

    def on_train_end(self, trainer, module):
        pathlib.Path(f"{self.name}{trainer.global_rank}.json").write_text(json.dumps(self.greys))
"""


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.terminate()


def start(*words: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    STARTED.append(process)
    return process


def end(process: "subprocess.Popen[str]") -> None:
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 0, out


def weights(run: str) -> dict[str, torch.Tensor]:
    path = Path(run, "checkpoints/last.ckpt")
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    return torch.load(path, weights_only=True)["state_dict"]


def test_two_processes_take_the_steps_of_one() -> None:
    # Without what depends on the share of a batch: batch norm, dropout, augmentation.
    Path("flat.py").write_text(FLAT)
    alike = (
        *TINY[1:], "model=small_resnet", "model._target_=flat.Flat", "data.augment.crop=null",
        "trainer.max_epochs=1", "test=last",
    )  # fmt: skip
    for name, devices in (("one", "auto"), ("two", "ddp")):
        end(start("resnet_lab.train", f"trainer={devices}", *alike, f"run_dir={name}"))
    one, two = weights("one"), weights("two")
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)
    losses = [column(Path(run), "train/loss") for run in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1])


def test_two_processes_share_each_batch_of_a_streamed_folder() -> None:
    Path("seen.py").write_text(SEEN)
    for number in range(48):  # each picture has a grey of its own, which no crop changes
        for split in ("train", "val", "test"):
            Path(f"photos/{split}/class{number % 2}").mkdir(parents=True, exist_ok=True)
            grey = Image.new("L", (40, 30), 5 * number)
            grey.save(f"photos/{split}/class{number % 2}/{number}.png")
    given = (
        *TINY[1:], "model=small_resnet", "trainer.limit_train_batches=1.0", "trainer.max_epochs=1",
        "data=image_folder", "data.root=photos", "data.streaming=true", "data.image_size=16",
        "data.batch_size=8", "data.augment=null", "data.source.cache=index", "data.channels=1",
        "data.mean=[0]", "data.std=[1]",
    )  # fmt: skip
    for name, trainer, workers in (("one", "auto", 0), ("two", "ddp", 0), ("more", "ddp", 2)):
        seen = f"+callbacks.seen={{_target_: seen.Seen, name: {name}}}"
        choice = (f"trainer={trainer}", f"data.workers={workers}", f"run_dir=run_{name}")
        end(start("resnet_lab.train", *choice, *given, seen))
    batches = json.loads(Path("one0.json").read_text())
    assert sorted(grey for batch in batches for grey in batch) == [5 * n for n in range(48)]
    for name in ("two", "more"):
        ranks = [json.loads(Path(f"{name}{rank}.json").read_text()) for rank in (0, 1)]
        assert ranks == [[batch[rank::2] for batch in batches] for rank in (0, 1)]


def start_nodes(*given: str) -> list["subprocess.Popen[str]"]:
    """Start a run on two nodes, two agents of torchrun's on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agent = (
        "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
        "--rdzv-id=run", f"--rdzv-endpoint=127.0.0.1:{port}", "--local-addr=127.0.0.1",
        *given, "trainer.devices=1", "trainer.num_nodes=2", "run_dir=run",
    )  # fmt: skip
    return [start(*agent), start(*agent)]


def test_two_nodes_train_like_two_processes_of_one() -> None:
    given = (*TINY, "trainer=ddp", "trainer.max_epochs=2")
    for node in start_nodes("-m", "resnet_lab.train", *given):
        end(node)
    end(start("resnet_lab.train", *given, "run_dir=whole"))
    equal("run", "whole")


def test_torchrun_starts_a_killed_process_again_and_the_run_resumes(monkeypatch) -> None:
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    Path("gate.py").write_text(GATE)
    given = (*TINY, "trainer=ddp", "trainer.max_epochs=3", "+callbacks.gate._target_=gate.Gate")
    nodes = start_nodes("--max-restarts=1", "-m", "resnet_lab.train", *given)
    reached = [Path("reached.0"), Path("reached.1")]

    def at_the_gate() -> bool:
        assert all(node.poll() is None for node in nodes), [node.communicate() for node in nodes]
        return all(path.exists() and path.read_text() for path in reached)

    wait_until(at_the_gate, 300)
    os.kill(int(reached[0].read_text()), signal.SIGKILL)
    Path("go").touch()
    for node in nodes:
        end(node)
    assert fits(Run.load("run")) == 2
    end(start("resnet_lab.train", *given, "run_dir=whole"))
    equal("run", "whole")


def equal(run: str, other: str) -> None:
    """Hold a run to another one: results, weights, and each step recorded once."""
    assert result(Run.load(run)) == result(Run.load(other))
    expected = weights(other)
    for key, value in weights(run).items():
        assert torch.equal(expected[key], value), key
    steps = [row["step"] for row in rows(Path(run))]
    assert steps == [row["step"] for row in rows(Path(other))]
