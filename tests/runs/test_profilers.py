"""The profilers that a run may have."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_lab.callbacks.tensorboard import _graph
from resnet_lab.sweeps.preflight import preflight
from resnet_lab.train import train


@pytest.mark.parametrize(
    ("name", "files", "text"),
    [
        ("simple", ["fit-simple.txt", "test-simple.txt"], "run_training_batch"),
        ("advanced", ["fit-advanced.txt", "test-advanced.txt"], "function calls"),
        ("pytorch", ["fit-pytorch*.json", "test-pytorch*.json", "fit-pytorch.txt"], "aten::"),
    ],
)
def test_a_profiler_writes_into_the_run_directory(name, files, text, tiny, tmp_path: Path) -> None:
    """And the graph is drawn, of a network that the profiler has put hooks on."""
    _graph.cache_clear()
    cfg = tiny(f"trainer.profiler={name}", "trainer.limit_train_batches=6")
    preflight(cfg.copy())
    train(cfg, tmp_path / "run")
    directory = tmp_path / "run/profile"
    for pattern in files:
        assert list(directory.glob(pattern)), sorted(directory.iterdir())
    assert text in (directory / f"fit-{name}.txt").read_text()
    assert EventAccumulator(str(tmp_path / "run")).Reload().Tags()["graph"]
    assert "failed" not in (tmp_path / "run/train.log").read_text()


def test_an_unknown_profiler_is_one_clear_line(tiny, tmp_path: Path) -> None:
    cfg = tiny("trainer.profiler=fast")
    for start in (preflight, lambda cfg: train(cfg, tmp_path / "run")):
        with pytest.raises(ValueError, match=r"trainer.profiler=fast: must be one of simple, adv"):
            start(cfg.copy())
