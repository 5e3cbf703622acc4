"""`trainer.deterministic=true` is all that a reproducible run needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back what Lightning sets for the whole process."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


@pytest.mark.parametrize(
    ("deterministic", "benchmark"), [("true", False), ("warn", False), ("false", True)]
)
def test_cudnn_picks_kernels_only_where_results_may_vary(deterministic, benchmark, tiny) -> None:
    assert tiny(f"trainer.deterministic={deterministic}").trainer.benchmark is benchmark


def test_a_deterministic_run_ends_without_a_warning(tiny, tmp_path: Path) -> None:
    """A warning is an error here."""
    train(tiny("trainer.deterministic=true"), tmp_path / "run")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert Run.load(tmp_path / "run").config.trainer.benchmark is False
