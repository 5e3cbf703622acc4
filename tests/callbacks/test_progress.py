"""The progress bar draws to its end, and nobody waits for its thread."""

import contextlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich

from resnet_lab.callbacks import progress
from resnet_lab.train import train

BAR = "callbacks.progress={_target_: resnet_lab.callbacks.progress.ProgressBar}"


@pytest.fixture(autouse=True)
def same_console() -> Iterator[None]:
    """Leave Rich's console to the next test as it was."""
    console = rich.get_console()
    before = dict(vars(console))
    yield
    console.__dict__ = before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "Refresh" in type(thread).__name__]


def test_the_bar_ends_at_its_end(tiny, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with contextlib.redirect_stdout(Terminal()) as terminal:
        rich.reconfigure(force_terminal=True, width=120)
        train(tiny(BAR), tmp_path / "run")
    drawn = terminal.getvalue()
    assert "Epoch 1/2" in drawn
    assert "Epoch 2/2" in drawn
    assert "3/3" in drawn
    testing = [line for line in drawn.splitlines() if "Testing" in line]
    assert testing
    assert "12/12" in testing[-1]  # 360 images in batches of 32
    for thread in drawing():
        thread.join(60)
        assert not thread.is_alive()
    assert terminal.getvalue() == drawn


def test_the_run_does_not_wait_for_the_thread_that_draws(tiny, tmp_path, monkeypatch) -> None:
    started, joined = [], []
    start, join = threading.Thread.start, threading.Thread.join

    def begun(self: threading.Thread) -> None:
        started.append(type(self).__name__)
        start(self)

    def noticed(self: threading.Thread, timeout: float | None = None) -> None:
        joined.append(type(self).__name__)
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "start", begun)
    monkeypatch.setattr(threading.Thread, "join", noticed)
    monkeypatch.setattr("sys.stdout", Terminal())
    train(tiny(BAR), tmp_path / "run")
    assert [name for name in started if "Refresh" in name]  # or there is nothing to wait for
    assert not [name for name in joined if "Refresh" in name]


def test_slow_drawing_is_done_less_often(monkeypatch) -> None:
    now = 0.0
    drawn = []

    class Slow:
        def refresh(self) -> None:
            nonlocal now
            drawn.append(now)
            now += 0.05

    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    bar = progress.ProgressBar(refresh_rate=2)
    bar.progress = Slow()
    while now < 100:
        now += 0.02
        bar.refresh()
    assert 8 <= len(drawn) <= 11  # 50 ms each: one in ten seconds is half a percent
