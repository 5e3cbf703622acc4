"""A command collects rarely until it trains, and leaves the garbage collector as it was."""

import gc
import platform
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from resnet_lab.core.overhead import RARELY, collect, collection_put_off, spare


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


class Circle:
    def __init__(self) -> None:
        self.self = self


def test_collection_is_put_off_until_it_is_asked_for() -> None:
    usual = gc.get_threshold()
    with collection_put_off():
        assert gc.get_threshold() == RARELY
        before = gc.get_freeze_count()
        spare()
        assert gc.get_freeze_count() > before
        collect()
        assert gc.get_threshold() == usual
    assert gc.get_threshold() == usual


def test_what_waits_before_it_does_not_pile_up() -> None:
    with collection_put_off():
        first = weakref.ref(Circle())
        for _ in range(RARELY[0] + 1_000):
            Circle()
        assert first() is None


def test_what_is_made_after_spare_is_freed() -> None:
    with collection_put_off():
        spare()
        made = weakref.ref(Circle())
        collect()
        gc.collect()
        assert made() is None


def test_a_command_that_fails_leaves_the_collector_as_it_was() -> None:
    usual = gc.get_threshold()
    with pytest.raises(ValueError, match="reason"), collection_put_off():
        raise ValueError("reason")
    assert gc.get_threshold() == usual


def test_who_put_nothing_off_keeps_what_they_chose() -> None:
    before = gc.get_freeze_count()
    gc.set_threshold(900, 9, 9)
    spare()
    collect()
    assert gc.get_threshold() == (900, 9, 9)
    assert gc.get_freeze_count() == before


def test_the_end_of_the_process_still_runs_what_was_registered() -> None:
    program = (
        "import atexit\n"
        "from resnet_lab.core.overhead import collection_put_off\n"
        "atexit.register(print, 'registered')\n"
        "with collection_put_off():\n"
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
