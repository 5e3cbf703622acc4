"""Torchvision's files: what is missing is unpacked or downloaded, once, whole or not at all."""

import multiprocessing
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torchvision import datasets

from resnet_lab.data.sources import TorchvisionSource
from resnet_lab.data.sources import downloads as torchvision_files
from tests.data.fakes import (
    Server,
    check,
    error,
    offline,  # noqa: F401  (a fixture)
    place_cifar10,
    place_mnist,
    serve,
    snapshot,
    write_svhn,
)

pytestmark = [
    pytest.mark.usefixtures("offline"),
    # Torchvision's, on Python 3.12 and 3.13.
    pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning"),
    # The server is a thread, which the forked processes do not use.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

SVHN = {"train": {"split": "train"}, "test": {"split": "test"}}


FORK = multiprocessing.get_context("fork")


@pytest.fixture
def server(published: Path) -> Iterator[Server]:
    with serve(published) as server:
        yield server


# ---- what is missing


def test_download(cifar: Any, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{server.url}cifar-10-python.tar.gz")
    source = TorchvisionSource("CIFAR10", str(root))
    source.prepare()
    check(source.read("train"), cifar["train"])
    assert sorted(path.name for path in root.iterdir()) == [".CIFAR10.lock", "cifar-10-batches-py"]
    served = list(server.served)
    source.prepare()
    source.read("test")
    assert server.served == served


def test_dead_mirror_then_wrong_file_then_a_good_one(
    cifar: Any, root: Path, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "cifar-10-python.tar.gz").write_bytes(b"something else")
    with serve(tmp_path / "wrong") as wrong:
        mirrors = ("http://127.0.0.1:9/", wrong.url, server.url[:-1])
        source = TorchvisionSource("CIFAR10", str(root), mirrors=mirrors)
        source.prepare()
        assert wrong.served
    check(source.read("test"), cifar["test"])


def test_silent_mirror_counts_as_dead(
    cifar: Any, root: Path, server: Server, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_files, "TIMEOUT", 2.0)
    server.stalled = threading.Event()
    with serve(published) as good:
        source = TorchvisionSource("CIFAR10", str(root), mirrors=(server.url, good.url))
        check(source.read("train"), cifar["train"])  # fetches what `prepare` did not
    assert server.stalled.wait(20)
    assert socket.getdefaulttimeout() is None


def test_mirrors_of_the_mnist_family(
    mnist: Any, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    source = TorchvisionSource("MNIST", str(root), mirrors=(server.url,))
    source.prepare()
    check(source.read("train"), mnist["train"][..., None])
    assert not list((root / "MNIST" / "raw").glob("*.gz"))


def test_mirrors_of_svhn_and_one_split_missing(
    published: Path, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_svhn(published, monkeypatch)
    root.mkdir()
    shutil.copy(published / "train_32x32.mat", root)
    source = TorchvisionSource("SVHN", str(root), mirrors=(server.url,), **SVHN)
    source.prepare()
    check(source.read("test"), images["test"])
    assert set(server.served) == {"test_32x32.mat"}


@pytest.mark.parametrize("download", [True, False])
def test_no_way_to_get_it(cifar: Any, root: Path, download: bool) -> None:
    message = error(TorchvisionSource("CIFAR10", str(root), download=download))
    assert "cifar-10-batches-py/data_batch_1" in message
    assert "cifar-10-python.tar.gz" in message
    assert f"{root} " in message or f"{root}:" in message
    assert ("no network in tests" if download else "switched off") in message
    assert download or not root.exists()


def test_one_file_missing(cifar: Any, published: Path, root: Path) -> None:
    (place_cifar10(published, root) / "data_batch_3").unlink()
    message = error(TorchvisionSource("CIFAR10", str(root), download=False))
    assert "cifar-10-batches-py/data_batch_3 (" in message
    assert "data_batch_2" not in message


def test_what_was_there_is_not_replaced(
    cifar: Any, published: Path, root: Path, server: Server
) -> None:
    folder = place_cifar10(published, root)
    (folder / "data_batch_3").unlink()
    (folder / "data_batch_4").write_bytes(b"mine")
    before = snapshot(folder)
    source = TorchvisionSource("CIFAR10", str(root), mirrors=(server.url,))
    assert f"{folder / 'data_batch_4'} cannot be read or is damaged" in error(source)
    after = snapshot(folder)
    assert after.pop("data_batch_3")
    assert after == before


def test_root_is_a_file(cifar: Any, root: Path) -> None:
    root.write_text("a file")
    assert str(root) in error(TorchvisionSource("CIFAR10", str(root)))
    assert root.read_text() == "a file"


# ---- archives put there by hand


def test_archive_in_place(cifar: Any, published: Path, root: Path) -> None:
    root.mkdir()
    archive = Path(shutil.copy(published / "cifar-10-python.tar.gz", root))
    source = TorchvisionSource("CIFAR10", str(root), download=False)
    source.prepare()
    check(source.read("train"), cifar["train"])
    assert archive.read_bytes() == (published / archive.name).read_bytes()


def test_some_archives_in_place(mnist: Any, published: Path, root: Path) -> None:
    raw = place_mnist(published, root)
    name = "train-images-idx3-ubyte"
    (raw / name).unlink()
    shutil.copy(published / f"{name}.gz", raw)
    source = TorchvisionSource("MNIST", str(root), download=False)
    source.prepare()
    check(source.read("train"), mnist["train"][..., None])
    assert (raw / f"{name}.gz").exists()


@pytest.mark.parametrize("download", [True, False])
def test_damaged_archive_is_named_and_left(
    cifar: Any, published: Path, root: Path, server: Server, download: bool
) -> None:
    root.mkdir()
    archive = root / "cifar-10-python.tar.gz"
    archive.write_bytes((published / archive.name).read_bytes()[:-100])
    before = snapshot(root)[archive.name]
    source = TorchvisionSource("CIFAR10", str(root), mirrors=(server.url,), download=download)
    assert f"{archive} is damaged" in error(source)
    assert snapshot(root)[archive.name] == before
    assert not (root / "cifar-10-batches-py").exists()


# ---- interruptions


def test_connection_cut(cifar: Any, root: Path, server: Server) -> None:
    server.cut = True
    source = TorchvisionSource("CIFAR10", str(root), mirrors=(server.url,))
    assert "corrupted" in error(source)
    assert [path.name for path in root.iterdir()] == [".CIFAR10.lock"]
    server.cut = False
    source.prepare()
    check(source.read("train"), cifar["train"])


def test_process_killed_while_downloading(mnist: Any, root: Path, server: Server) -> None:
    server.stalled = threading.Event()
    source = TorchvisionSource("MNIST", str(root), mirrors=(server.url,))
    child = FORK.Process(target=source.prepare)
    child.start()
    assert server.stalled.wait(20)
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not (root / "MNIST").exists()
    assert (root / ".MNIST.part").exists()
    server.stalled = None
    source.prepare()
    check(source.read("train"), mnist["train"][..., None])
    assert not (root / ".MNIST.part").exists()


@pytest.mark.parametrize("worker", [FORK.Process, threading.Thread])
def test_many_at_once_download_once(cifar: Any, root: Path, server: Server, worker: Any) -> None:
    source = TorchvisionSource("CIFAR10", str(root), mirrors=(server.url,))
    workers = [worker(target=source.prepare) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(30)
    assert [getattr(one, "exitcode", 0) for one in workers] == [0] * 4
    # Torchvision looks for redirections first: two requests make one download.
    assert len(server.served) <= 2
    check(source.read("train"), cifar["train"])
