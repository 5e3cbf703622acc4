"""Nothing is profiled unless somebody asks, and then all of it is."""

from pathlib import Path

from resnet_lab.profiler import NoProfiler
from resnet_lab.train import train


def test_no_action_is_recorded_and_no_context_made() -> None:
    profiler = NoProfiler()
    with profiler.profile("one") as first, profiler.profile("two") as second:
        assert first is second is None
    assert profiler.profile("one") is profiler.profile("two")
    assert profiler.summary() == ""


def test_a_profiler_of_lightnings_can_be_chosen(tiny, tmp_path: Path) -> None:
    train(tiny("trainer.profiler=simple"), tmp_path / "run")
    log = (tmp_path / "run/train.log").read_text()
    assert "FIT Profiler Report" in log
    assert "run_training_batch" in log
