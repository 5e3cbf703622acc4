"""Pictures that do not fit into the memory are refused before they are read."""

from pathlib import Path

import pytest

from resnet_lab.data.decoding import decode
from resnet_lab.data.sources import ImageFolder
from tests.data.fakes import error, write_folder

RED, BLUE = (250, 0, 0), (0, 0, 250)


def test_free_memory_is_plausible() -> None:
    free = decode.free_memory()
    assert free is None or 2**20 < free < 2**50


def test_memory_in_use_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of 8 GiB that uses 6, of which 1 is files that may be dropped, has 3 left."""
    gib = 2**30
    for name, text in {
        "meminfo": f"MemTotal: 99 kB\nMemAvailable: {64 * gib // 1024} kB\n",
        "memory.max": f"{8 * gib}\n",
        "memory.current": f"{6 * gib}\n",
        "memory.stat": f"anon {5 * gib}\ninactive_file {gib}\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(decode, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(decode, "CGROUP", tmp_path)
    assert decode.free_memory() == 3 * gib
    (tmp_path / "memory.max").write_text("max\n")
    assert decode.free_memory() == 64 * gib
    (tmp_path / "memory.current").unlink()
    assert decode.free_memory() == 64 * gib


def test_too_many_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"cat": 10, "dog": 10})
    monkeypatch.setattr(decode, "free_memory", lambda: 2**20)
    message = error(ImageFolder(str(tmp_path), image_size=224))
    assert "16 images of 224x224x3" in message
    assert "smaller image_size" in message
    assert "cache" in message
