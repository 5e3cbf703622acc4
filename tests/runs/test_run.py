import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.trained.run import Run


def test_a_new_run_holds_its_resolved_configuration(tiny, tmp_path: Path) -> None:
    with ActiveRun.open(tmp_path / "run", tiny("optimizer.lr=0.3"), ["optimizer.lr=0.3"]) as run:
        saved = OmegaConf.load(tmp_path / "run/config.yaml")
        assert saved.optimizer.lr == 0.3
        assert saved.model.num_classes == 10
        assert "${" not in (tmp_path / "run/config.yaml").read_text()
        assert "run_dir" not in saved
        status = json.loads((tmp_path / "run/status.json").read_text())
        assert status["state"] == "running"
        assert status["overrides"] == ["optimizer.lr=0.3"]
        assert status["versions"]["torch"] == torch.__version__.partition("+")[0]
        run.finish(None)
    assert Run.load(tmp_path / "run").done


def test_the_directory_says_nowhere_where_it_lies(tiny, tmp_path: Path) -> None:
    with ActiveRun.open(tmp_path / "some/run", tiny()) as run:
        run.finish(None)
    for name in ("config.yaml", "status.json"):
        assert "some/run" not in (tmp_path / "some/run" / name).read_text()


def test_a_failure_is_recorded_with_its_traceback(tiny, tmp_path: Path) -> None:
    def broken() -> None:
        raise RuntimeError("the reason")

    with pytest.raises(RuntimeError), ActiveRun.open(tmp_path / "run", tiny()):
        broken()
    run = Run.load(tmp_path / "run")
    assert run.status["state"] == "failed"
    assert run.status["error"] == "RuntimeError: the reason"
    assert "in broken" in (tmp_path / "run/train.log").read_text()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_failure(stop, tiny, tmp_path: Path) -> None:
    with pytest.raises(stop), ActiveRun.open(tmp_path / "run", tiny()):
        raise stop
    assert Run.load(tmp_path / "run").status["state"] == "interrupted"


def test_a_directory_in_use_is_refused(tiny, tmp_path: Path) -> None:
    with ActiveRun.open(tmp_path / "run", tiny()), pytest.raises(ValueError, match="run is in use"):
        ActiveRun.open(tmp_path / "run", tiny())
    ActiveRun.open(tmp_path / "run", tiny()).close()


def test_another_configuration_is_refused_and_named(tiny, tmp_path: Path) -> None:
    ActiveRun.open(tmp_path / "run", tiny()).close()
    before = (tmp_path / "run/config.yaml").read_bytes()
    with pytest.raises(ValueError, match=r"optimizer.lr=0.5 \(was 0.05\); leave run_dir out"):
        ActiveRun.open(tmp_path / "run", tiny("optimizer.lr=0.5"))
    assert (tmp_path / "run/config.yaml").read_bytes() == before
    ActiveRun.open(tmp_path / "run", tiny("data_dir=/moved")).close()  # where data lies may change


def test_a_measured_precision_stays_what_the_run_began_with(
    composed, tmp_path, monkeypatch
) -> None:
    import resnet_lab.core.device as device

    monkeypatch.setattr(device, "best_precision", lambda accelerator: "bf16-mixed")
    ActiveRun.open(tmp_path / "run", composed()).close()
    monkeypatch.setattr(device, "best_precision", lambda accelerator: "32-true")
    run = ActiveRun.open(tmp_path / "run", composed())
    assert run.config.trainer.precision == "bf16-mixed"
    run.close()


def test_a_directory_of_something_else_is_refused_and_untouched(tiny, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("precious")
    with pytest.raises(ValueError, match=r"photos is no run directory, and not empty \(a.jpg"):
        ActiveRun.open(tmp_path / "photos", tiny())
    assert (tmp_path / "photos/a.jpg").read_text() == "precious"
    assert not (tmp_path / "photos/config.yaml").exists()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "no such directory"),
        (lambda path: path.mkdir(), "is no run directory: it holds no config.yaml"),
        (lambda path: _file(path / "config.yaml", "a: 1"), "not the configuration of a run"),
        (lambda path: _file(path / "status.json", "{", "config.yaml", "model: {}"), "damaged"),
    ],
)
def test_what_is_no_run_cannot_be_loaded(make, text, tmp_path: Path) -> None:
    make(tmp_path / "it")
    with pytest.raises(ValueError, match=text):
        Run.load(tmp_path / "it")


def _file(path: Path, text: str, *more: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    for name, content in zip(more[::2], more[1::2], strict=True):
        (path.parent / name).write_text(content)


def test_status_is_valid_json_whatever_the_numbers(tiny, tmp_path: Path) -> None:
    with ActiveRun.open(tmp_path / "run", tiny()) as run:
        run.update(metrics={"a": float("nan"), "b": [float("inf"), 1.5]})
        text = (tmp_path / "run/status.json").read_text()
    assert json.loads(text)["metrics"] == {"a": None, "b": [None, 1.5]}


def test_status_is_replaced_atomically(tiny, tmp_path: Path, monkeypatch) -> None:
    with ActiveRun.open(tmp_path / "run", tiny()) as run:
        before = (tmp_path / "run/status.json").read_text()

        def full(self: Path, target: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            with pytest.raises(OSError, match="No space left"):
                run.update(epochs=1)
        assert (tmp_path / "run/status.json").read_text() == before


def test_a_checkpoint_that_is_not_there_is_named(tiny, tmp_path: Path) -> None:
    with ActiveRun.open(tmp_path / "run", tiny()) as run:
        for which in ("best", "elsewhere.ckpt"):
            with pytest.raises(ValueError, match=f"{which}.*no such checkpoint; use best, last"):
                run.checkpoint(which)


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"half a file", "cannot be read as a checkpoint"), (None, "is not a checkpoint")],
)
def test_a_damaged_checkpoint_is_named(content, text, tiny, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"something": 1}, path) if content is None else path.write_bytes(content)
    with ActiveRun.open(tmp_path / "run", tiny()) as run, pytest.raises(ValueError, match=text):
        run.load_task(str(path))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_named(tiny, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OSError, match="locked"):
        ActiveRun.open(tmp_path / "locked/run", tiny())


def test_a_moved_run_loads(tiny, tmp_path: Path) -> None:
    ActiveRun.open(tmp_path / "old", tiny()).close()
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert Run.load(tmp_path / "new").config.model.depth == 8
