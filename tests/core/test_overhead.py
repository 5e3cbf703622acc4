"""The tricks of a lean process, and what `lean: false` leaves as it is."""

import gc
import json
import os
import platform
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_lab.core.overhead import RARELY, freeze_gc, rare_collection


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


class Circle:
    def __init__(self) -> None:
        self.self = self


def test_collection_is_rare_until_freeze_gc() -> None:
    usual = gc.get_threshold()
    with rare_collection():
        assert gc.get_threshold() == RARELY
        before = gc.get_freeze_count()
        freeze_gc()
        assert gc.get_freeze_count() > before
        assert gc.get_threshold() == usual
    assert gc.get_threshold() == usual


def test_rare_collection_frees_circles() -> None:
    with rare_collection():
        first = weakref.ref(Circle())
        for _ in range(RARELY[0] + 1_000):
            Circle()
        assert first() is None


def test_what_is_made_after_freeze_gc_is_freed() -> None:
    with rare_collection():
        freeze_gc()
        made = weakref.ref(Circle())
        gc.collect()
        assert made() is None


def test_what_a_further_job_has_when_it_freezes_is_freed() -> None:
    made = []
    for _ in range(2):
        with rare_collection():
            circle = Circle()
            made.append(weakref.ref(circle))
            freeze_gc()
            del circle
    gc.collect()
    assert [circle() is None for circle in made] == [False, True]


def test_a_command_that_fails_leaves_the_collector_as_it_was() -> None:
    usual = gc.get_threshold()
    with pytest.raises(ValueError, match="reason"), rare_collection():
        raise ValueError("reason")
    assert gc.get_threshold() == usual


def test_freeze_gc_changes_nothing_on_its_own() -> None:
    before = gc.get_freeze_count()
    gc.set_threshold(900, 9, 9)
    freeze_gc()
    assert gc.get_threshold() == (900, 9, 9)
    assert gc.get_freeze_count() == before


def test_the_end_of_the_process_still_runs_what_was_registered() -> None:
    program = (
        "import atexit\n"
        "from resnet_lab.core.overhead import rare_collection\n"
        "atexit.register(print, 'registered')\n"
        "with rare_collection():\n"
        "    print('command')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["command", "registered"]


FAULTS = """
import resource, sys
from resnet_lab.core.overhead import keep_memory
if sys.argv[1:]:
    keep_memory()
def step():
    blocks = [bytearray(20 * 2**20) for _ in range(5)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_what_a_step_freed_serves_the_next() -> None:
    def faults(*told: str) -> float:
        command = [sys.executable, "-c", FAULTS, *told]
        return float(subprocess.run(command, capture_output=True, check=True).stdout)

    usual = faults()
    assert usual > 1_000  # or there is nothing to mend any more
    assert faults("keep") < usual / 10


SEEN = """
import gc, json, os, sys
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback
from resnet_lab.core.configuration.config import CONF
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.sweeps.resolvers import register_resolvers

torch.set_num_threads(1)
register_resolvers()
losses, seen = [], {}


class Look(Callback):
    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        losses.append(float(outputs["loss"]))

    def on_train_start(self, trainer, task):
        seen["frozen"] = gc.get_freeze_count() > 0
        seen["spins"] = os.environ.get("GOMP_SPINCOUNT")
        seen["profiler"] = type(trainer.profiler).__module__.partition(".")[0]
        seen["skipped"] = [
            name for callback in trainer.callbacks for name in vars(callback) if name[:3] == "on_"
        ]


for lean in ("false", "true"):
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        cfg = compose("train", [f"lean={lean}", *sys.argv[1:]])
    losses.clear()
    with reduced_overhead(cfg), ActiveRun.open("run-" + lean, cfg, trust=True) as run:
        fit_and_test(run, Look())
    print(json.dumps([losses, seen]))
"""


def test_lean_false_trains_the_same_and_changes_nothing(tmp_path: Path) -> None:
    from tests.helpers import TINY

    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}

    told = subprocess.run(
        [sys.executable, "-c", SEEN, *TINY, "trainer.max_epochs=1", "logger=[]"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    lines = [line for line in told.stdout.splitlines() if line.startswith("[[")]
    (plain_losses, plain), (losses, seen) = map(json.loads, lines)
    assert len(losses) == 3
    assert losses == plain_losses
    assert (seen["frozen"], seen["spins"]) == (True, "10000")
    assert (plain["frozen"], plain["spins"]) == (False, None)
    for each in (seen, plain):  # nothing of Lightning is changed either way
        assert each["profiler"] == "lightning"
        assert each["skipped"] == []
