"""The files that hold a run's curves, whatever a kill has left of them."""

import csv
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from resnet_lab.runs.loggers import CSVLogger, TensorBoardLogger


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def events(directory: Path, tag: str = "a") -> list[tuple[int, float]]:
    found = EventAccumulator(str(directory)).Reload()
    if tag not in found.Tags()["scalars"]:
        return []
    return [(event.step, event.value) for event in found.Scalars(tag)]


def log(logger: CSVLogger | TensorBoardLogger, *steps: int, **more: float) -> None:
    for step in steps:
        logger.log_metrics({"a": float(step), **more}, step)
    logger.save()


def test_rows_are_appended_and_columns_added(tmp_path: Path) -> None:
    log(CSVLogger(tmp_path), 0, 1)
    log(CSVLogger(tmp_path), 2, b=5.0)  # another process goes on
    found = rows(tmp_path / "metrics.csv")
    assert [row["step"] for row in found] == ["0", "1", "2"]
    assert [row["b"] for row in found] == ["", "", "5.0"]


def test_a_kill_while_a_column_is_added_loses_no_row(tmp_path: Path, monkeypatch) -> None:
    logger = CSVLogger(tmp_path)
    log(logger, 0, 1)

    class Killed(BaseException):
        pass

    def killed(self: Path, *args: object, **kwargs: object) -> None:
        raise Killed

    for name in ("write_text", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, killed)
            with pytest.raises(Killed):
                log(logger, 2, b=5.0)
        assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["0", "1"]


@pytest.mark.parametrize("torn", ["2,", "2.0,2", "\0\0\0\0", "2.0,2\r", "9,9,9,9\r\n", "x,y\r\n"])
def test_a_torn_row_is_read_past(torn: str, tmp_path: Path) -> None:
    log(CSVLogger(tmp_path), 0, 1)
    with (tmp_path / "metrics.csv").open("a", newline="") as file:
        file.write(torn)
    logger = CSVLogger(tmp_path)
    logger.rewind(2)
    log(logger, 2)
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["0", "1", "2"]


@pytest.mark.parametrize("step", [0, 1, 3])
def test_what_was_logged_from_a_step_on_is_taken_out(step: int, tmp_path: Path) -> None:
    for made in (CSVLogger, TensorBoardLogger):
        logger = made(tmp_path)
        log(logger, 0, 1, 2, 3)
        logger.finalize("success")
        again = made(tmp_path)
        again.rewind(step)
        log(again, *range(step, 4))
        again.finalize("success")
    assert [int(row["step"]) for row in rows(tmp_path / "metrics.csv")] == [0, 1, 2, 3]
    assert events(tmp_path) == [(number, number) for number in range(4)]


def test_a_torn_event_is_read_past(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    log(logger, 0, 1, 2)
    logger.finalize("success")
    (path,) = tmp_path.glob("events*")
    path.write_bytes(path.read_bytes()[:-7])  # in the middle of the last record
    again = TensorBoardLogger(tmp_path)
    again.rewind(2)
    log(again, 2, 3)
    again.finalize("success")
    assert events(tmp_path) == [(number, number) for number in range(4)]


def test_events_of_a_clock_that_was_set_back_stay_in_order(tmp_path: Path, monkeypatch) -> None:
    """Names begin with the second: the files of before seem to come from the future."""
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: 4e9)
        writer = SummaryWriter(str(tmp_path))
        for step in range(3):
            writer.add_scalar("a", step, step)
        writer.close()
    for steps in ((2,), (3, 4)):
        again = TensorBoardLogger(tmp_path)
        again.rewind(steps[0])
        log(again, *steps)
        again.finalize("success")
    assert events(tmp_path) == [(number, number) for number in range(5)]


def test_nothing_is_made_where_there_is_nothing_to_rewind(tmp_path: Path) -> None:
    CSVLogger(tmp_path).rewind(0)
    TensorBoardLogger(tmp_path).rewind(0)
    assert list(tmp_path.iterdir()) == []
