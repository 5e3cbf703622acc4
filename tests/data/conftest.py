"""Data sets as their publishers offer them, and a data directory that is empty yet."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.fakes import write_cifar10, write_mnist


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def cifar(published: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    return write_cifar10(published, monkeypatch)


@pytest.fixture
def mnist(published: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    return write_mnist(published, monkeypatch)
