"""Jobs in slots, and the process of a job on a node; nothing is trained, and Ray is not needed."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from hydra_plugins.resnet_lab.ray import Ray
from resnet_lab.sweeps import job_process
from resnet_lab.sweeps.job import Job
from resnet_lab.sweeps.job_process import run_on_node
from resnet_lab.sweeps.pool import Pool
from resnet_lab.sweeps.ray_cluster import connected
from resnet_lab.sweeps.runner import End, Runner, Stream
from tests.conftest import Compose
from tests.helpers import record, states, trials
from tests.sweeps.test_search import BOWL, Searcher, bowl, search  # noqa: F401  # a fixture

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
def slots(search: Searcher) -> Slots:  # noqa: F811
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


def test_a_search_on_a_pool(search: Searcher, tiny: Compose, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr("resnet_lab.sweeps.pool.command", command_of(TRIAL))
    Pooled(tiny)(*BOWL, n_trials=6, n_jobs=None)
    assert states() == ["COMPLETE"] * 6
    assert [trial.value for trial in trials()] == [0.5] * 6
    assert len(list(Path("sweep").glob("*/status.json"))) == 6


@pytest.fixture
def place(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    return run


def command_of(code: str) -> Callable[[Path], list[str]]:
    return lambda place: [sys.executable, "-c", code, str(place)]


def test_the_process_of_a_job_on_a_node(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os; print(os.getcwd(), os.environ['RESNET_LAB_PARENT']); raise SystemExit(3)"
    monkeypatch.setattr(job_process, "command", command_of(code))
    why, printed = run_on_node(str(place), str(place))
    assert printed == f"{place} {os.getpid()}\n"
    assert why == f"ended with exit code 3: {printed.strip()}"


def test_a_node_that_does_not_see_the_run_directory_refuses_it(tmp_path: Path) -> None:
    why, printed = run_on_node(str(tmp_path / "elsewhere"), str(tmp_path))
    assert f" does not see {tmp_path / 'elsewhere'}: name a sweep_dir that all nodes share" in why
    assert printed == ""


def test_a_job_waits_for_the_process_of_an_earlier_try(place: Path) -> None:
    with FileLock(place / ".lock"):
        why, _ = run_on_node(str(place), str(place), patience=0.1)
    assert why == "another process trains there still, 0 s after this began"


def test_a_cancelled_job_saves_and_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import pathlib, signal, sys, time
run = pathlib.Path(sys.argv[1])
def save(*_):
    (run / "saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
(run / "ready").touch()
time.sleep(100)
"""

    def cancelled(seconds: float) -> None:
        if (place / "ready").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(job_process, "command", command_of(code))
    monkeypatch.setattr(job_process.time, "sleep", cancelled)
    with pytest.raises(KeyboardInterrupt):
        run_on_node(str(place), str(place))
    assert (place / "saved").exists()


GIVEN = {
    "address": None, "num_cpus": 1, "num_gpus": "auto", "max_retries": 3, "runtime_env": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"num_cpus": 0}, r"^hydra.launcher.num_cpus=0: must be a number > 0$"),
        ({"num_gpus": "one"}, r"num_gpus=one: must be auto or a number >= 0$"),
        ({"max_retries": -1}, r"max_retries=-1: must be an integer >= 0$"),
    ],
)
def test_wrong_options_of_ray(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Ray(**{**GIVEN, **wrong})


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_plugins.resnet_lab.ray.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'^hydra/launcher=ray: ray is not.*-e "\.\[ray\]"$'):
        Ray(**GIVEN)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("head", "^hydra.launcher.address=head: must be host:port, auto, or null$"),
        ("127.0.0.1:1", "no Ray cluster answers there .*: ray start --head --port 1$"),
    ],
)
def test_an_address_without_a_cluster(
    address: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # restored afterwards
    with pytest.raises(ValueError, match=told), connected(address, None):
        raise AssertionError
