"""The default job beside busy processes."""

import os
from pathlib import Path

import pytest

from benchmarks.speed import contention, table
from benchmarks.speed.contention import busy_processes, job_seconds
from resnet_lab.runs.trained.run import Run


def children() -> set[int]:
    own = Path("/proc/self/task")
    listed = (path / "children" for path in own.iterdir())
    return {int(child) for path in listed for child in path.read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_the_busy_processes_end_with_their_context() -> None:
    before = children()
    with busy_processes(2):
        assert len(children() - before) == 2
    assert children() == before


def test_auto_is_compared_with_the_better_fixed_number(monkeypatch) -> None:
    monkeypatch.setattr(contention, "available_cores", lambda: 4)
    monkeypatch.setattr(contention, "most_threads", lambda: 4)
    beside = []

    def started(command: list[str]) -> "Process":
        beside.append(command)
        return Process()

    class Process:
        def kill(self) -> None:
            beside.pop()

        def wait(self) -> None:
            pass

    def seconds(cfg: object, threads: int | str) -> float:
        quiet = {1: 3.0, 4: 2.0, "auto": 2.5}
        busy = {1: 5.0, 4: 80.0, "auto": 6.0}
        return (busy if len(beside) == 4 else quiet)[threads]

    monkeypatch.setattr(contention.subprocess, "Popen", started)
    monkeypatch.setattr(contention, "job_seconds", seconds)
    found = contention.contention(None, repeats=3)
    quiet = {"one": 3.0, "all": 2.0, "auto": 2.5, "best": 2.0, "ratio": 1.25}
    busy = {"one": 5.0, "all": 80.0, "auto": 6.0, "best": 5.0, "ratio": 1.2}
    assert found == {"quiet": {**quiet, "n": 3, "cores": 0}, "busy": {**busy, "n": 3, "cores": 4}}
    rows = table.rows({"jobs": found})
    assert [row[1:] for row in rows] == [("3", "2.0", "2.5", "1.25"), ("3", "5.0", "6.0", "1.20")]
    assert "beside 4 busy processes" in rows[1][0]


def test_a_whole_job_is_timed(tiny, monkeypatch) -> None:
    recorded = []
    finish = contention.ActiveRun.finish

    def finished(run, *measured: object) -> None:
        finish(run, *measured)
        recorded.append(Run.load(run.directory).status)

    monkeypatch.setattr(contention.ActiveRun, "finish", finished)
    assert job_seconds(tiny("trainer.max_epochs=1"), 1) > recorded[0]["seconds"] > 0
    assert recorded[0]["threads"] == 1
    assert recorded[0]["test"]["images"] == 360
    assert os.listdir() == []  # noqa: PTH208
