"""What all tests share: a network that cannot be reached, small configurations, the real data.

pytest-xdist loads this file before it starts its processes: what takes long to import (torch and
all that needs it, ten seconds on a slow machine) is imported where it is used.
"""

import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hydra.core.global_hydra import GlobalHydra

from resnet_lab import train
from resnet_lab.core.directions import DIRECTIONS

if TYPE_CHECKING:
    from tests.helpers import Command, Compose

# A shell that starts the tests in the background has them, and their processes, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on any connection beyond this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test wanted to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory of the test's own, with the data where it really is."""
    from tests.helpers import REAL_DATA

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_LAB_DATA", str(REAL_DATA))
    monkeypatch.setenv("RESNET_LAB_LOGS", str(tmp_path / "logs"))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny tensors are faster on one thread, and sums come out the same everywhere."""
    import torch

    os.environ["OMP_NUM_THREADS"] = "1"  # of the runs, and of the processes that tests start
    torch.set_num_threads(1)


@pytest.fixture
def worse_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the highest loss for the best, so that the best epoch is an early one."""
    monkeypatch.setitem(DIRECTIONS, "loss", "max")


@pytest.fixture
def composed() -> "Compose":
    """A function that composes `conf/train.yaml` with overrides."""
    from tests.helpers import compose

    return compose


@pytest.fixture
def tiny(composed: "Compose") -> "Compose":
    """A function that composes the tiny run with further overrides."""
    from tests.helpers import TINY

    return lambda *overrides: composed(*TINY, *overrides)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Command":
    """A function that runs the training command in this process: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        capsys.readouterr()
        try:
            train.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.helpers import TINY, compose

    directory = tmp_path_factory.mktemp("trained") / "run"
    train.train(compose(*TINY, "trainer.limit_train_batches=30"), directory)
    return directory


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """A finished run of the digits that gets most of them right; a copy for this test."""
    return Path(shutil.copytree(_trained, tmp_path / "trained"))
