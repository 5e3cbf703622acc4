"""What draws fails with one warning; what records fails the run."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler

import resnet_lab.sweeps.launch as launch
import resnet_lab.train as command
from resnet_lab.callbacks import progress, summary, tensorboard, tensorboard_images
from resnet_lab.core.harmless import harmless_callback
from resnet_lab.reporting.plots import chosen as plots
from resnet_lab.runs.loggers import CSVLogger, TensorBoardLogger
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train


def fails(*arguments: Any, **named: Any) -> Any:
    raise OSError(28, "No space left on device")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("resnet_lab") and record.levelno >= logging.WARNING
    ]


@pytest.mark.parametrize(
    ("place", "name", "callback"),
    [
        (summary, "trace", "ModelSummary"),
        (tensorboard_images, "captioned_grid", "TensorBoardImages"),
        (tensorboard_images, "confusion_picture", "TensorBoardImages"),
        (tensorboard, "_graph", "TensorBoardRecord"),
        (tensorboard, "hparams", "TensorBoardRecord"),
        (progress.ProgressBar, "get_metrics", "ProgressBar"),
    ],
)
def test_a_drawing_that_fails_ends_no_run(
    place, name, callback, composed, tmp_path: Path, monkeypatch, caplog
) -> None:
    from tests.helpers import TINY

    monkeypatch.setattr(place, name, fails)
    caplog.set_level(logging.DEBUG, "resnet_lab")  # as the command line does
    bare = [part for part in TINY if not part.startswith("callbacks.")]
    train(composed(*bare, "trainer.max_epochs=1"), tmp_path / "run")
    assert Run.load(tmp_path / "run").status["state"] == "done"
    (line,) = warnings_of(caplog)
    assert line.startswith(f"{callback} failed and is left out: No space left on device")
    assert "Traceback" in (tmp_path / "run/train.log").read_text()


@pytest.mark.parametrize(
    ("place", "name"), [(CSVLogger, "log_metrics"), (TensorBoardLogger, "log_metrics")]
)
def test_a_record_that_cannot_be_written_ends_the_run(
    place, name, tiny, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(place, name, fails)
    with pytest.raises(OSError, match="No space left"):
        train(tiny("trainer.max_epochs=1"), tmp_path / "run")
    assert Run.load(tmp_path / "run").status["state"] == "failed"


def test_a_profile_that_cannot_be_written_ends_no_run(
    tiny, tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(SimpleProfiler, "summary", fails)
    train(tiny("trainer.max_epochs=1", "trainer.profiler=simple", "test=null"), tmp_path / "run")
    assert Run.load(tmp_path / "run").status["state"] == "done"
    assert [line.partition(":")[0] for line in warnings_of(caplog)] == [
        "trainer.profiler failed and is left out"
    ]


def test_a_result_that_cannot_be_shown_is_a_result(tiny, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(command, "show_summary", fails)
    value = train(tiny("trainer.max_epochs=1"), tmp_path / "run")
    assert value == Run.load(tmp_path / "run").status["best"]["value"]
    assert len(warnings_of(caplog)) == 1


def test_a_sweep_whose_report_fails_is_done(monkeypatch, caplog) -> None:
    import resnet_lab.reporting.report

    monkeypatch.setattr(resnet_lab.reporting.report, "report", fails)
    sweep: Any = SimpleNamespace(directory=Path("sweep"), shown=Path("sweep"))
    assert launch.finish(sweep, []) == []
    assert warnings_of(caplog)[0].startswith("the report of the sweep (again: ")


def test_a_report_without_its_plots_is_written(tiny, tmp_path: Path, monkeypatch, caplog) -> None:
    from resnet_lab.reporting.report import report

    train(tiny("trainer.max_epochs=1"), tmp_path / "runs/one")
    monkeypatch.setattr(plots, "chosen_plots", fails)
    result = report([tmp_path / "runs"])
    assert all(path.exists() for path in result.files)
    assert warnings_of(caplog)[0].startswith("drawing the report failed and is left out")


def test_a_drawing_callback_rests_after_an_error_and_leaves_empty_hooks_alone(caplog) -> None:
    calls: list[str] = []

    @harmless_callback
    class Drawing(Callback):
        def on_train_start(self, trainer, pl_module) -> None:
            calls.append("start")
            raise RuntimeError("no ink")

        def on_train_end(self, trainer, pl_module) -> None:
            calls.append("end")

        def on_fit_end(self, trainer, pl_module) -> None:
            raise KeyboardInterrupt

    subject, other = Drawing(), Drawing()
    unused: Any = None
    subject.on_train_start(unused, unused)
    subject.on_train_start(unused, unused)
    subject.on_train_end(unused, unused)
    other.on_train_end(unused, unused)
    assert calls == ["start", "end"]
    assert warnings_of(caplog) == ["Drawing failed and is left out: RuntimeError: no ink"]
    with pytest.raises(KeyboardInterrupt):
        other.on_fit_end(unused, unused)
    assert subject.on_train_batch_end.__func__ is Callback.on_train_batch_end
