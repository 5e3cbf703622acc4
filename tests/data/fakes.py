"""Small data sets in the formats of the real ones, and a server that hands them out."""

import gzip
import hashlib
import pickle
import shutil
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_lab.data.sources.base import Images, Source


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection leave this machine."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def local(host: object) -> None:
        if host not in ("127.0.0.1", "localhost"):
            raise OSError(f"no network in tests: {host}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        local(address[0] if isinstance(address, tuple) else "localhost")
        return connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        local(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


class Server:
    """What a test sees of an HTTP server on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.served: list[str] = []  # names of the files asked for
        self.cut = False  # send half of each file, then close the connection
        self.stalled: threading.Event | None = None  # set when asked; then send half and wait


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Hand out the files of a folder on a local port."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args: Any) -> None:
            pass

        def copyfile(self, source: Any, outputfile: Any) -> None:
            content = source.read()
            if not (server.cut or server.stalled):
                server.served.append(self.path.rpartition("/")[2])
                outputfile.write(content)
                return
            if server.stalled:
                server.stalled.set()
            outputfile.write(content[: len(content) // 2])
            outputfile.flush()
            done.wait(20 if server.stalled else 0)

    done = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}/")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        done.set()
        http.shutdown()
        thread.join()
        http.server_close()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def pixels(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write CIFAR-10 of 5 x 20 + 20 images, unpacked and as cifar-10-python.tar.gz.

    Returns:
        Images as uint8 [N, 32, 32, 3] by split; the label of image i is i % 10.
    """
    from torchvision.datasets import CIFAR10

    batches = folder / CIFAR10.base_folder
    batches.mkdir(parents=True)
    images = {"train": pixels(100, 32, 32, 3), "test": pixels(20, 32, 32, 3, seed=1)}
    train, test = images["train"].reshape(5, 20, 32, 32, 3), images["test"]
    for name, part in zip(
        [name for name, _ in CIFAR10.train_list + CIFAR10.test_list], [*train, test], strict=True
    ):
        entry = {
            "batch_label": name,
            "data": part.transpose(0, 3, 1, 2).reshape(len(part), 3072),
            "labels": [index % 10 for index in range(len(part))],
            "filenames": [f"{index}.png" for index in range(len(part))],
        }
        (batches / name).write_bytes(pickle.dumps(entry, protocol=2))
    meta = {
        "label_names": ["airplane", "automobile", *(f"class {index}" for index in range(2, 10))]
    }
    (batches / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    with tarfile.open(folder / CIFAR10.filename, "w:gz") as archive:
        archive.add(batches, CIFAR10.base_folder)

    def listed(entries: list[Any]) -> list[Any]:
        return [[name, md5(batches / name)] for name, _ in entries]

    monkeypatch.setattr(CIFAR10, "train_list", listed(CIFAR10.train_list))
    monkeypatch.setattr(CIFAR10, "test_list", listed(CIFAR10.test_list))
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(batches / "batches.meta")})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(folder / CIFAR10.filename))
    return images


def idx(array: np.ndarray) -> bytes:
    """Return an array of bytes in the IDX format."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write the four .gz files of MNIST (60 + 20 images).

    Returns:
        Images as uint8 [N, 28, 28] by split; the label of image i is i % 10.
    """
    from torchvision.datasets import MNIST

    folder.mkdir(parents=True)
    images = {"train": pixels(60, 28, 28), "test": pixels(20, 28, 28, seed=1)}
    for prefix, part in (("train", images["train"]), ("t10k", images["test"])):
        labels = np.arange(len(part), dtype=np.uint8) % 10
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(part)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    resources = [(name, md5(folder / name)) for name, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", resources)
    return images


def place_cifar10(published: Path, root: Path) -> Path:
    """Put CIFAR-10 below a data directory, as torchvision would; return the folder."""
    name = "cifar-10-batches-py"
    return Path(shutil.copytree(published / name, root / name))


def place_mnist(published: Path, root: Path) -> Path:
    """Put MNIST below a data directory, as torchvision would; return the folder."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in published.glob("*.gz"):
        (raw / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))
    return raw


def write_svhn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write the .mat files of SVHN (30 + 20 images), in which a zero has the label 10.

    Returns:
        Images as uint8 [N, 32, 32, 3] by split; the label of image i is i % 10.
    """
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    folder.mkdir(parents=True)
    images = {"train": pixels(30, 32, 32, 3), "test": pixels(20, 32, 32, 3, seed=1)}
    listed = dict(SVHN.split_list)
    for split, part in images.items():
        labels = np.arange(len(part), dtype=np.uint8) % 10
        labels[labels == 0] = 10
        url, name, _ = listed[split]
        savemat(folder / name, {"X": part.transpose(1, 2, 3, 0), "y": labels[:, None]})
        listed[split] = [url, name, md5(folder / name)]
    monkeypatch.setattr(SVHN, "split_list", listed)
    return images


def write_sst2(root: Path) -> None:
    """Write RenderedSST2, a set of picture files with three splits: 4 pictures a class."""
    for split in ("train", "valid", "test"):
        for name, grey in (("negative", 50), ("positive", 200)):
            folder = root / "rendered-sst2" / split / name
            folder.mkdir(parents=True)
            for index in range(4):
                Image.new("RGB", (60, 40), (grey,) * 3).save(folder / f"{index}.png")


def write_emnist_letters(root: Path) -> dict[str, np.ndarray]:
    """Write the letters of EMNIST (60 + 20 images) unpacked, as torchvision would.

    Returns:
        Upright images, uint8 [N, 28, 28], by split; they lie transposed in the files, and the
        label of image i is i % 10 + 1 there: letters count from 1.
    """
    raw = root / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    images = {"train": pixels(60, 28, 28), "test": pixels(20, 28, 28, seed=1)}
    for split, part in images.items():
        labels = np.arange(len(part), dtype=np.uint8) % 10 + 1
        name = f"emnist-letters-{split}"
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(part.transpose(0, 2, 1).copy()))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    return images


def write_eurosat(root: Path) -> None:
    """Write EuroSAT as torchvision unpacks it, of two classes and with pictures of two sizes."""
    for name, size in (("Forest", (24, 16)), ("River", (20, 20))):
        folder = root / "eurosat/2750" / name
        folder.mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", size, (10 * index, 50, 90)).save(folder / f"{name}_{index:02d}.jpg")


def write_folder(
    root: Path, classes: dict[str, int], size: tuple[int, int] = (40, 30), suffix: str = "png"
) -> Path:
    """Write one folder a class, with so many pictures; each class has a grey of its own."""
    for label, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture = Image.new("RGB", size, (40 * label + index,) * 3)
            picture.save(root / name / f"{index:03d}.{suffix}")
    return root


def check(images: Images, expected: np.ndarray) -> None:
    """Check for these images, with the labels that the writers above give them."""
    assert images.pixels.dtype == torch.uint8
    assert images.pixels.is_contiguous()
    assert images.labels.dtype == torch.int64
    assert np.array_equal(images.pixels.numpy(), expected)
    assert images.labels.tolist() == [index % 10 for index in range(len(expected))]


def error(source: Source, split: str = "train") -> str:
    """Return what a source says, in one line, when it cannot be prepared or read."""
    said = ""
    try:
        source.prepare()
        source.read(split)
    except ValueError as caught:
        said = str(caught)
    assert said, "no error"
    assert "\n" not in said
    return said


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything below a folder."""
    return {
        str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
    }
