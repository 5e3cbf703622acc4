"""Jobs in slots, and searches that fill them; nothing is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from resnet_lab.sweeps.job import Job
from resnet_lab.sweeps.launchers.pool import Pool
from resnet_lab.sweeps.launchers.runner import End, Runner, Stream
from tests.helpers import Compose, command_of, record, states, trials
from tests.sweeps.searcher import BOWL, Searcher, bowl

DURATIONS = {"slow": 5}  # rounds of `wait` that a job takes; others take one


class Rounds(Runner):
    """Two slots, whose jobs end after so many rounds, without a status."""

    def room(self) -> int:
        return 2

    def start(self, slot: int, place: Path, config: DictConfig) -> dict[str, int]:
        return {"left": DURATIONS.get(place.name, 1)}

    def wait(self, running: Mapping[int, Any]) -> list[End]:
        for process in running.values():
            process["left"] -= 1
        return [End(slot, "it ended") for slot, each in running.items() if not each["left"]]

    def stop(self, processes: Sequence[Any]) -> None:
        raise AssertionError


def test_a_slot_is_filled_the_moment_it_is_free(tiny: Compose) -> None:
    ended: list[str] = []
    jobs = [Job(name, [f"tag={name}"]) for name in ("slow", "a", "b", "c")]
    told = Stream(jobs, 4, lambda job: job.directory, lambda job, result: ended.append(job[0]))
    returns = Rounds().run("sweep", told, lambda overrides: tiny())
    assert ended == ["a", "b", "c", "slow"]
    assert [result.overrides for result in returns] == [job.overrides for job in jobs]


def test_a_stream_may_wait_for_the_end_of_a_job(tiny: Compose) -> None:
    ended: list[str] = []

    def jobs():
        yield Job("a", [])
        while ended != ["a"]:
            yield None
        yield Job("b", [])

    told = Stream(jobs(), 2, lambda job: job.directory, lambda job, result: ended.append(job[0]))
    assert len(Rounds().run("sweep", told, lambda overrides: tiny())) == 2
    assert ended == ["a", "b"]


class Slots(Searcher):
    """Trains two trials at once: the first one of a search takes as long as all the others."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0  # at once

    def stream(self, stream: Stream) -> list[JobReturn]:
        running: list[Job] = []
        returns: list[JobReturn] = []
        source = iter(stream.jobs)
        while True:
            while len(running) < 2 and (job := next(source, None)) is not None:
                running.append(job)
            if not running:
                return returns
            self.most = max(self.most, len(running))
            job = running.pop()  # the latest one: the first one ends last
            returns.append(self._train(job.overrides))
            stream.ended(job, returns[-1])


@pytest.fixture
def slots(search: Searcher) -> Slots:
    return Slots()


def test_a_search_does_not_wait_for_its_slowest_trial(slots: Slots) -> None:
    slots(*BOWL, n_trials=6, n_jobs=None)
    assert slots.most == 2
    assert states() == ["COMPLETE"] * 6
    ends = [trial.datetime_complete for trial in trials()]
    assert ends[0] == max(ends)  # it ran while all others came and went
    assert set(slots.trained.values()) == {1}
    assert len({trial.params["optimizer.lr"] for trial in trials()}) == 6


def test_no_more_trials_at_once_than_asked_for(slots: Slots) -> None:
    slots(*BOWL, n_trials=4, n_jobs=1)
    assert slots.most == 1
    assert states() == ["COMPLETE"] * 4


def test_the_same_values_are_tried_once_and_told_to_both_trials(slots: Slots) -> None:
    slots("model.depth=8,14", sampler="random", n_trials=8, n_jobs=None, f=lambda values: 0.5)
    assert [trial.value for trial in trials()] == [0.5] * 8
    assert set(slots.trained.values()) == {1}
    assert len(slots.trained) == 2


def test_a_killed_search_gives_every_open_trial_back(slots: Slots) -> None:
    def killed(values: dict[str, str]) -> float:
        if len(slots.trained) == 3:
            raise KeyboardInterrupt
        return bowl(values)

    with pytest.raises(KeyboardInterrupt):
        slots(*BOWL, n_trials=6, n_jobs=None, f=killed)
    assert states() == ["RUNNING", "COMPLETE", "COMPLETE", "RUNNING"]
    asked = [trial.params for trial in trials()]
    slots(*BOWL, n_trials=6, n_jobs=None)
    assert states() == ["COMPLETE"] * 6
    assert [trial.params for trial in trials()][:4] == asked
    assert sorted(slots.trained.values()) == [1, 1, 1, 1, 1, 2]
    assert {entry["state"] for entry in record()["jobs"]} == {"done"}


# A trial that trains nothing. The first one to begin ends only when four others have ended.
TRIAL = """
import json, sys, time
from pathlib import Path
run = Path(sys.argv[1])
def done():
    return sum('"done"' in path.read_text() for path in run.parent.glob("*/status.json"))
try:
    (run.parent / ".slow").mkdir()
    end = time.monotonic() + 120
    while done() < 4:
        assert time.monotonic() < end
        time.sleep(0.05)
except FileExistsError:
    pass
(run / "status.json").write_text(json.dumps({"state": "done", "best": {"value": 0.5}}))
"""


class Pooled(Searcher):
    """Runs trials on a real pool of two processes."""

    def __init__(self, compose: Compose) -> None:
        super().__init__()
        self.compose = compose

    def stream(self, stream: Stream) -> list[JobReturn]:
        return Pool(workers=2).run("sweep", stream, lambda overrides: self.compose())


def test_a_search_on_a_pool(search: Searcher, tiny: Compose, monkeypatch) -> None:
    monkeypatch.setattr("resnet_lab.sweeps.launchers.job_process.command", command_of(TRIAL))
    Pooled(tiny)(*BOWL, n_trials=6, n_jobs=None)
    assert states() == ["COMPLETE"] * 6
    assert [trial.value for trial in trials()] == [0.5] * 6
    assert len(list(Path("sweep").glob("*/status.json"))) == 6
