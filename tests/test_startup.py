"""A command leaves the garbage collector alone until it trains, and leaves it as it was."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from resnet_lab.startup import collect, collection_put_off, spare


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


class Circle:
    def __init__(self) -> None:
        self.self = self


def test_collection_is_put_off_until_it_is_asked_for() -> None:
    with collection_put_off():
        assert not gc.isenabled()
        before = gc.get_freeze_count()
        spare()
        assert gc.get_freeze_count() > before
        collect()
        assert gc.isenabled()
    assert gc.isenabled()


def test_what_is_made_after_spare_is_freed() -> None:
    with collection_put_off():
        spare()
        made = weakref.ref(Circle())
        collect()
        gc.collect()
        assert made() is None


def test_a_command_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ValueError, match="reason"), collection_put_off():
        raise ValueError("reason")
    assert gc.isenabled()


def test_who_put_nothing_off_keeps_what_they_chose() -> None:
    before = gc.get_freeze_count()
    spare()
    collect()
    assert gc.get_freeze_count() == before
    gc.disable()
    collect()
    with collection_put_off():
        pass
    assert not gc.isenabled()


def test_the_end_of_the_process_still_runs_what_was_registered() -> None:
    program = (
        "import atexit\n"
        "from resnet_lab.startup import collection_put_off\n"
        "atexit.register(print, 'registered')\n"
        "with collection_put_off():\n"
        "    print('command')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["command", "registered"]
