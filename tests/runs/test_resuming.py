"""Going on with a run, whatever moment it was killed at and whatever was done to it since."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_lab.callbacks.checkpoint import AtomicCheckpointIO
from resnet_lab.callbacks.interruption import Interruption, leave_lost_terminal
from resnet_lab.core.files import leftovers
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.loggers import CSVLogger, TensorBoardLogger
from resnet_lab.runs.trained.run import Run
from resnet_lab.train import train
from resnet_lab.training.task import ImageClassifier
from tests.helpers import TINY, Killed, compose, slow

ALL_STEPS = ("trainer.log_every_n_steps=1",)


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Have a method raise `Killed`, before or after its work; then nothing more is flushed."""

    def nothing(*args: object, **kwargs: object) -> None:
        pass

    def arrange(owner: type, name: str, call: int, *, after: bool = False) -> pytest.MonkeyPatch:
        method, calls = getattr(owner, name), 0

        def patched(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls != call:
                return method(*args, **kwargs)
            if after:
                method(*args, **kwargs)
            patch.setattr(CSVLogger, "finalize", nothing)
            patch.setattr(TensorBoardLogger, "finalize", nothing)
            raise Killed

        patch = pytest.MonkeyPatch()
        patch.setattr(owner, name, patched)
        patches.append(patch)
        return patch

    patches: list[pytest.MonkeyPatch] = []
    yield arrange
    for patch in patches:
        patch.undo()


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("progress/")]  # seconds
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def recorded(run: Path) -> dict[str, Any]:
    """Return what a run tells of itself, but for how long it took and when."""
    status = Run.load(run).status
    names = ("state", "epochs", "steps", "metrics", "best", "test")
    return {name: status.get(name) for name in names}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of two epochs that nobody disturbed, with a row for each step."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    train(compose(*TINY, *ALL_STEPS), directory)
    return directory


@pytest.mark.parametrize(
    ("owner", "name", "call", "after"),
    [
        (ImageClassifier, "training_step", 3, False),  # no checkpoint yet
        (ImageClassifier, "training_step", 5, False),
        (ImageClassifier, "on_train_epoch_end", 2, True),
        (CSVLogger, "save", 2, True),
        (ActiveRun, "update", 5, True),  # the status knows of an epoch that has no checkpoint
        (AtomicCheckpointIO, "save_checkpoint", 1, True),  # best.ckpt, but no last.ckpt
        (AtomicCheckpointIO, "save_checkpoint", 2, True),
        (AtomicCheckpointIO, "save_checkpoint", 4, True),
        (ImageClassifier, "test_step", 1, False),
        (ImageClassifier, "on_test_epoch_end", 1, True),
        (ActiveRun, "finish", 1, False),
    ],
)
def test_a_run_that_was_killed_ends_with_the_same_records(
    owner, name, call, after, kill, whole: Path, tiny, tmp_path: Path
) -> None:
    patch = kill(owner, name, call, after=after)
    with pytest.raises(Killed):
        train(tiny(*ALL_STEPS), tmp_path / "run")
    patch.undo()
    train(tiny(*ALL_STEPS), tmp_path / "run")
    assert (tmp_path / "run/metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert scalars(tmp_path / "run") == scalars(whole)
    assert recorded(tmp_path / "run") == recorded(whole)


def test_the_status_knows_no_more_than_the_checkpoint(kill, tiny, tmp_path: Path) -> None:
    """The second epoch was recorded as the best one, and is trained again."""
    patch = kill(AtomicCheckpointIO, "save_checkpoint", 3)
    with pytest.raises(Killed):
        train(tiny(), tmp_path / "run")
    patch.undo()
    status = Run.load(tmp_path / "run").status
    assert status["epochs"] == 2
    patch = kill(ImageClassifier, "training_step", 1)
    with pytest.raises(Killed):
        train(tiny(), tmp_path / "run")
    patch.undo()
    again = Run.load(tmp_path / "run").status
    assert again["epochs"] == 1
    assert again["best"]["epoch"] == 1
    assert again["metrics"] == again["best"]["metrics"]


def test_a_kill_while_a_file_is_written_does_not_block_the_run(tiny, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.config.yaml.4711.part").write_text("seed: 1\nmod")
    with ActiveRun.open(tmp_path / "run", tiny()) as run:
        run.finish(None)
    assert leftovers(tmp_path / "run") == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_lost_terminal_is_like_a_termination(name: str, monkeypatch) -> None:
    number = getattr(signal, name)
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if hasattr(signal, "SIGUSR2"):
        before[signal.SIGUSR2] = signal.getsignal(signal.SIGUSR2)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        interruption = Interruption()
        interruption.on_train_start(None, None)  # type: ignore[arg-type]
        signal.raise_signal(number)
        assert interruption._asked
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        Interruption().on_train_start(None, None)  # type: ignore[arg-type]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


def test_output_to_a_lost_terminal_goes_nowhere() -> None:
    import os

    ours, terminal = os.openpty()
    leave_lost_terminal(terminal)
    os.write(terminal, b"seen")
    assert os.read(ours, 4) == b"seen"
    os.close(ours)
    with pytest.raises(OSError, match="Input/output"):
        os.write(terminal, b"x")
    leave_lost_terminal(terminal)
    os.write(terminal, b"x")
    os.close(terminal)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stopped run is kept."""
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def stopped(kept: Path, kill, tiny, tmp_path: Path, worse_is_best: None) -> Path:
    """A run of four epochs, ended in its fourth; its best epoch is the first."""
    if not kept.exists():
        patch = kill(ImageClassifier, "training_step", 11)
        cfg = tiny(*ALL_STEPS, "trainer.max_epochs=4", "monitor=train/loss")
        with pytest.raises(Killed):
            train(cfg, kept)
        patch.undo()
    return Path(shutil.copytree(kept, tmp_path / "run"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 garbage", None])
def test_a_damaged_last_checkpoint(content, stopped: Path, caplog) -> None:
    last = stopped / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000] if content is None else content)
    train(Run.load(stopped).config, stopped)
    assert "last.ckpt is damaged: the run goes on from best.ckpt, after 3 steps" in caplog.text
    assert recorded(stopped)["epochs"] == 4
    steps = [step for step, _ in scalars(stopped)["step/loss"]]
    assert steps == list(range(12))


def test_a_damaged_best_checkpoint_is_told_before_the_test(stopped: Path) -> None:
    for path in (stopped / "status.json", stopped / "config.yaml"):
        path.write_text(path.read_text().replace("test: last", "test: best"))
    (stopped / "checkpoints/best.ckpt").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"best.ckpt is damaged: .* --checkpoint last$") as caught:
        train(Run.load(stopped).config, stopped)
    assert "\n" not in str(caught.value)
    assert recorded(stopped)["epochs"] == 4


@pytest.mark.parametrize("content", ["", "null", '{"state": "run'])
def test_a_damaged_status_is_made_anew_from_the_checkpoint(content: str, stopped: Path) -> None:
    before = recorded(stopped)
    (stopped / "status.json").write_text(content)
    with pytest.raises(ValueError, match=r"status.json is damaged \(.*\): delete it; .* resume"):
        Run.load(stopped)
    (stopped / "status.json").unlink()
    train(Run.load(stopped).config, stopped)
    assert (recorded(stopped)["state"], recorded(stopped)["epochs"]) == ("done", 4)
    assert recorded(stopped)["best"] == before["best"]
    assert [step for step, _ in scalars(stopped)["step/loss"]] == list(range(12))


def test_damaged_checkpoints_alone(stopped: Path, caplog) -> None:
    for path in (stopped / "checkpoints").iterdir():
        path.write_bytes(b"")
    train(Run.load(stopped).config, stopped)
    assert "is damaged: the run begins anew" in caplog.text
    assert [step for step, _ in scalars(stopped)["step/loss"]] == list(range(12))


CONSTANT = {
    "constant": ("scheduler=none",),
    "multistep": ("scheduler=multistep", "scheduler.milestones=[4,6]"),
    "of epochs": ("scheduler=multistep", "scheduler.milestones=[1]", "scheduler.interval=epoch"),
}


@pytest.mark.parametrize("name", ["multistep", slow("constant"), slow("of epochs")])
def test_a_finished_run_is_trained_longer(name: str, tiny, tmp_path: Path) -> None:
    common = (*ALL_STEPS, *CONSTANT[name])
    train(tiny(*common, "trainer.max_epochs=4"), tmp_path / "whole")
    train(tiny(*common), tmp_path / "parts", ["seed=0", "trainer.max_epochs=2"])
    train(tiny(*common, "trainer.max_epochs=4"), tmp_path / "parts", ["trainer.max_epochs=4"])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert (parts / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert scalars(parts) == scalars(whole)
    assert recorded(parts) == recorded(whole)
    run = Run.load(parts)
    assert run.config.trainer.max_epochs == 4
    assert run.status["overrides"] == ["seed=0", "trainer.max_epochs=4"]
    with pytest.raises(ValueError, match=r"another configuration: trainer.max_epochs=3"):
        train(tiny(*common, "trainer.max_epochs=3"), parts)


LENGTH = {
    "cosine": ((), (), r"scheduler=cosine depends on the length"),
    "onecycle": (("scheduler=onecycle",), (), r"scheduler=OneCycleLR depends"),
    "fractions": (("scheduler=multistep",), (), r"scheduler=multistep depends"),
    "torch's": (
        ("scheduler=none", "scheduler.factor=0.5"),
        (),
        r"scheduler=ConstantLR depends",
    ),
    "swa": (
        ("scheduler=none", "callbacks=swa", "callbacks.progress=null", "callbacks.summary=null"),
        (),
        r"callbacks.swa.start=0.75 depends",
    ),
    "no last": (("scheduler=none", "test=best"), (), r"last.ckpt was deleted .*keep=all"),
}


@pytest.mark.parametrize("name", LENGTH)
def test_a_run_that_depends_on_its_length_is_not_lengthened(
    name: str, tiny, tmp_path: Path
) -> None:
    overrides, more, text = LENGTH[name]
    run = tmp_path / "run"
    train(tiny(*overrides, "trainer.max_epochs=2"), run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=text) as refusal:
        train(tiny(*overrides, *more, "trainer.max_epochs=4"), run)
    assert "leave run_dir out" in str(refusal.value)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_that_ended_early_is_not_lengthened(tiny, tmp_path: Path) -> None:
    overrides = (
        "callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer.lr=0",
        "callbacks.progress=null", "callbacks.summary=null", "scheduler=none", "test=last",
    )  # fmt: skip
    train(tiny(*overrides, "trainer.max_epochs=9"), tmp_path / "run")
    with pytest.raises(ValueError, match=r"it was ended after \d epochs, before trainer"):
        train(tiny(*overrides, "trainer.max_epochs=20"), tmp_path / "run")


def test_what_bears_on_no_result_may_change(stopped: Path, tiny) -> None:
    cfg = tiny(
        *ALL_STEPS, "trainer.max_epochs=4", "monitor=train/loss", "logger.tensorboard=null",
        "callbacks.tensorboard=null", "callbacks.lr=null", "name=other", "log_dir=elsewhere",
        "callbacks.checkpoint.keep=all", "trainer.enable_model_summary=true",
    )  # fmt: skip
    events = {path: path.read_bytes() for path in stopped.glob("events*")}
    train(cfg, stopped)
    assert {path: path.read_bytes() for path in stopped.glob("events*")} == events
    assert Run.load(stopped).config.name == "other"
    assert recorded(stopped)["state"] == "done"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of images: two classes, told apart by their brightness."""
    from PIL import Image

    folder = tmp_path / "data/pictures"
    for number in range(40):
        place = folder / ("dark", "light")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        grey = 40 + 2 * number + 100 * (number % 2)
        Image.new("RGB", (8, 8), (grey, grey, grey)).save(place / f"{number}.png")
    return folder


def of_pictures(folder: Path) -> tuple[str, ...]:
    return (
        "data=image_folder", f"data.root={folder}", "data.image_size=8", "data.batch_size=4",
        "data.augment.crop.padding=1", f"data_dir={folder.parent}",
    )  # fmt: skip


def test_a_run_goes_on_after_its_data_moved(
    pictures: Path, kill, tiny, tmp_path: Path, monkeypatch, caplog
) -> None:
    kill(ImageClassifier, "training_step", 4)
    with pytest.raises(Killed):
        train(tiny(*of_pictures(pictures)), tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    pictures.parent.rename(tmp_path / "moved")
    moved = tmp_path / "moved/pictures"

    train(tiny(*of_pictures(moved)), tmp_path / "run")  # the command that is typed again
    assert Run.load(tmp_path / "run").config.data.source.root == str(moved)
    assert Run.load(tmp_path / "run").done

    import sys

    from resnet_lab.train import main

    monkeypatch.setenv("RESNET_LAB_DATA", str(tmp_path / "moved"))
    monkeypatch.setattr(sys, "argv", ["train.py", "--resume", str(tmp_path / "again")])
    main()
    assert recorded(tmp_path / "again") == recorded(tmp_path / "run")
    told = [r.message for r in caplog.records if "is gone: the data is read from" in r.message]
    assert len(told) == 1


def test_the_data_is_read_where_it_lies(tiny, tmp_path: Path) -> None:
    """A data directory that is set, but not there, does not replace one that is."""
    (tmp_path / "here").mkdir()
    ActiveRun.open("run", tiny("data=mnist", f"data_dir={tmp_path}/here")).close()
    run = ActiveRun.open("run", tiny("data=mnist", "data_dir=nowhere"))
    run.close()
    assert run.config.data.source.root == run.config.data_dir == f"{tmp_path}/here"


def test_evaluate_and_compare_find_moved_data(pictures: Path, tiny, tmp_path: Path, capsys) -> None:
    from resnet_lab import compare, evaluate

    for name in ("a", "b"):
        train(tiny(*of_pictures(pictures)), tmp_path / name)
    pictures.parent.rename(tmp_path / "moved")
    with pytest.raises(SystemExit):
        evaluate.main(["a"])
    capsys.readouterr()
    evaluate.main(["a", "--data-dir", "moved", "--json"])
    assert '"images": 8' in capsys.readouterr().out
    compare.main(["a", "b", "--data-dir", "moved", "--json"])
    assert '"images": 8' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        evaluate.main(["a", "--data-dir", "nowhere"])
    assert "error: data_dir=nowhere: no such directory" in capsys.readouterr().err


def test_a_data_directory_for_data_without_files_is_refused(
    whole: Path, tmp_path: Path, capsys
) -> None:
    from resnet_lab import evaluate

    with pytest.raises(SystemExit):
        evaluate.main([str(whole), "--data-dir", str(tmp_path)])
    assert "the data of" in capsys.readouterr().err


def test_a_folder_outside_of_the_data_directory_is_found_where_it_lies_now(
    pictures: Path, tiny, tmp_path: Path
) -> None:
    run = ActiveRun.open(tmp_path / "run", tiny(*of_pictures(pictures)[:-1]))
    run.close()
    moved = pictures.rename(tmp_path / "photos")
    earlier = Run.load(tmp_path / "run")
    earlier.move_data(moved)
    assert earlier.config.data.source.root == str(moved)
    data = earlier.build_data()
    data.setup("fit")
    assert data.size("train") > 0
    assert torch.is_tensor(data.images("train")[0].pixels)
