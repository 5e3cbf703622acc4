"""Checksums of the files that data was read from: those of sha256sum, renewed when files change."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_lab.data.sources import (
    ArraysFile,
    Digits,
    ImageFolder,
    TableFile,
    TorchvisionSource,
    checksums,
)
from resnet_lab.data.sources.base import Source, read
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from tests.data.fakes import place_mnist, write_folder
from tests.helpers import Compose


def found(source: Source) -> dict[str, str]:
    """Return the checksums as a new process would."""
    checksums.checksums.cache_clear()
    read.cache_clear()
    return checksums.checksums(source)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_arrays(path: Path, seed: int = 0) -> str:
    images = np.random.default_rng(seed).integers(0, 256, (60, 8, 8), np.uint8)
    np.savez(path, images=images, labels=np.arange(60) % 3)
    return str(path)


def listed(root: Path) -> str:
    """Return what `sha256sum` writes of all pictures below a folder."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    return "".join(f"{sha256((root / name).read_bytes())}  {name}\n" for name in names)


def test_a_few_files_have_their_own_digests(mnist: Any, published: Path, root: Path) -> None:
    raw = place_mnist(published, root)
    source = TorchvisionSource(dataset="MNIST", root=str(root), channels=1)
    assert found(source) == {path.name: sha256(path.read_bytes()) for path in raw.iterdir()}
    path = root / "set.npz"
    assert found(ArraysFile(write_arrays(path))) == {"set.npz": sha256(path.read_bytes())}


def test_many_files_have_the_digest_of_their_list(root: Path) -> None:
    write_folder(root, {"cat": 6, "dog": 6})
    source = ImageFolder(str(root), image_size=8)
    assert found(source) == {"sha256sum of 12 files": sha256(listed(root).encode())}
    rows = "".join(f"{path},{path.parent.name}\n" for path in root.rglob("*.png"))
    (root / "table.csv").write_text(f"path,label\n{rows}")
    assert [*found(TableFile(str(root / "table.csv"), image_size=8))] == ["sha256sum of 13 files"]


def test_large_files_count_by_size_and_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "LARGE", 0)
    write_folder(root, {"cat": 6, "dog": 6})
    source = ImageFolder(str(root), image_size=8)
    before = found(source)
    assert [*before] == ["sizes and names of 12 files"]
    with next(root.rglob("*.png")).open("ab") as file:
        file.write(b"more")
    assert found(source).keys() == before.keys()
    assert found(source) != before


def test_streamed_pictures_count_by_name(root: Path, tmp_path: Path) -> None:
    write_folder(root, {"cat": 9, "dog": 9})
    options: Any = {"streaming": True, "cache": str(tmp_path / "cache")}
    source = ImageFolder(str(root), image_size=8, **options)
    before = found(source)
    assert sorted(before) == ["names of 14 files of train", "names of 4 files of test"]
    next(root.rglob("*.png")).rename(root / "cat" / "renamed.png")
    assert found(source) != before


def test_what_has_no_files_counts_by_its_images() -> None:
    ((name, digest),) = found(Digits()).items()
    images = read(Digits(), "train")
    assert name == "training images"
    assert digest == sha256(images.pixels.numpy().tobytes() + images.labels.numpy().tobytes())


def test_a_large_file_is_read_again_only_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "SMALL", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, reads = tmp_path / "set.npz", []
    of_file = checksums._of_file
    monkeypatch.setattr(checksums, "_of_file", lambda path: (reads.append(path), of_file(path))[1])
    source = ArraysFile(write_arrays(path))
    assert found(source) == found(source) == {"set.npz": sha256(path.read_bytes())}
    assert reads == [path]
    before = path.stat()
    write_arrays(path, seed=1)  # of the same size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert found(source) == {"set.npz": sha256(path.read_bytes())}
    assert reads == [path, path]


def test_a_run_records_them_and_tells_where_they_changed(
    tmp_path: Path, tiny: Compose, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_arrays(tmp_path / "set.npz")
    given = ("data=arrays", f"data.file={file}", "data.batch_size=8", "scheduler=none")
    for epochs in (1, 2):
        train(tiny(*given, f"trainer.max_epochs={epochs}"), tmp_path / "run")
    recorded = Run.load(tmp_path / "run").status["data_sha256"]
    assert recorded == {"set.npz": sha256((tmp_path / "set.npz").read_bytes())}
    assert "the data has changed" not in caplog.text
    write_arrays(tmp_path / "set.npz", seed=1)
    checksums.checksums.cache_clear()
    read.cache_clear()
    train(tiny(*given, "trainer.max_epochs=3"), tmp_path / "run")
    assert "the data has changed since this run began" in caplog.text
