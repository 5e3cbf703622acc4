"""Decoded images kept on disk: the same images, made once, never half."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from resnet_lab.data.decoding import decode
from resnet_lab.data.sources import ImageFolder
from resnet_lab.data.sources.folders import pictures
from tests.data.fakes import error, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def source(root: Path, tmp_path: Path) -> ImageFolder:
    write_folder(root, {"cat": 10, "dog": 10})
    return ImageFolder(str(root), image_size=8, cache=str(tmp_path / "cache"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many pictures are decoded, each time some are."""
    counts: list[int] = []
    decode_all = decode.decode_all

    def counted(pixels: Any, *args: Any, **kwargs: Any) -> None:
        counts.append(len(pixels))
        decode_all(pixels, *args, **kwargs)

    monkeypatch.setattr(decode, "decode_all", counted)
    return counts


def test_cache_holds_the_same_images(source: ImageFolder, root: Path, decoded: list[int]) -> None:
    plain = ImageFolder(str(root), image_size=8).read("train")
    decoded.clear()
    first, second = source.read("train"), source.read("train")
    assert decoded == [16]
    for images in (first, second):
        assert torch.equal(images.pixels, plain.pixels)
        assert torch.equal(images.labels, plain.labels)
        assert images.pixels.is_contiguous()


def test_cache_is_not_written_to(source: ImageFolder, tmp_path: Path) -> None:
    before = source.read("train").pixels.clone()
    (stored,) = (tmp_path / "cache").glob("*.npy")
    content = stored.read_bytes()
    source.read("train").pixels.fill_(7)  # memory of its own, not the file's
    assert stored.read_bytes() == content
    assert torch.equal(source.read("train").pixels, before)


def test_cache_follows_the_folder(source: ImageFolder, root: Path, decoded: list[int]) -> None:
    assert (source.read("train").pixels < 255).all()
    for path in pictures(root):
        Image.new("RGB", (40, 30), "white").save(path)
    assert (source.read("train").pixels == 255).all()
    shutil.copy(path, root / "dog" / "one more.png")
    assert len(source.read("train").labels) + len(source.read("test").labels) == 21
    assert len(decoded) >= 3


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 4},
        {"image_size": [8, 4]},
        {"channels": 1},
        {"fit": "pad"},
        {"range": [0, 100]},
    ],
)
def test_cache_of_other_forms_stands_beside(
    source: ImageFolder, root: Path, options: dict[str, Any], decoded: list[int]
) -> None:
    other = ImageFolder(**{"root": str(root), "image_size": 8, "cache": source.cache, **options})
    for _ in range(2):
        source.read("train")
        other.read("train")
    assert decoded == [16, 16]


def test_half_a_cache_is_made_anew(source: ImageFolder, tmp_path: Path, decoded: list[int]) -> None:
    expected = source.read("train").pixels.clone()
    (data,) = (tmp_path / "cache").glob("*.npy")
    data.write_bytes(data.read_bytes()[:-5])
    assert torch.equal(source.read("train").pixels, expected)
    data.unlink()
    assert torch.equal(source.read("train").pixels, expected)
    (note,) = (tmp_path / "cache").glob("*.json")
    assert json.loads(note.read_text())["images"] == 16
    note.unlink()
    source.read("train")
    assert len(decoded) == 4


def test_failure_leaves_no_cache(source: ImageFolder, root: Path, tmp_path: Path) -> None:
    bad = root / "cat" / "000.png"
    good = bad.read_bytes()
    bad.write_bytes(good[:60])
    split = "train" if "1 of" in _outcome(source, "train") else "test"
    assert str(bad) in error(source, split)
    left = {path.suffix for path in (tmp_path / "cache").iterdir() if split in path.name}
    assert left == {".lock"} or left == {""}
    bad.write_bytes(good)
    source.read(split)


def _outcome(source: ImageFolder, split: str) -> str:
    try:
        source.read(split)
    except ValueError as caught:
        return str(caught)
    return "read"


def test_readers_at_once_decode_once(source: ImageFolder, decoded: list[int]) -> None:
    threads = [threading.Thread(target=source.read, args=("train",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert decoded == [16]


def test_full_disk(source: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert "choose another folder" in error(source)
