"""Cores are counted and threads chosen as this machine, now, wants it."""

import copy
import os
import time
from pathlib import Path

import pytest
import torch

from resnet_lab.core import threads
from resnet_lab.core.threads import available_cores, check_threads, most_threads
from resnet_lab.runs.active import ActiveRun
from resnet_lab.runs.fit import fit_and_test
from resnet_lab.runs.trained.evaluation import evaluate
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.launchers.pool import Pool
from resnet_lab.sweeps.preflight import Preflight
from resnet_lab.train import train
from resnet_lab.training.preparing import thread_choice
from resnet_lab.training.preparing.thread_choice import fastest, for_training


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch):
    """A function that gives this process so many cores and no OMP_NUM_THREADS."""

    def give(number: int) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(number)), raising=False)
        monkeypatch.setattr(threads, "_quotas", lambda root: iter(()))
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    return give


@pytest.fixture(autouse=True)
def threads_of_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


V2 = {"proc/self/cgroup": "0::/user/job"}
V1 = {"proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n0::/"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16),
        ({**V2, "sys/fs/cgroup/user/job/cpu.max": "max 100000"}, 16),
        ({**V2, "sys/fs/cgroup/user/job/cpu.max": "400000 100000"}, 4),
        ({**V2, "sys/fs/cgroup/user/job/cpu.max": "50000 100000"}, 1),
        ({**V2, "sys/fs/cgroup/user/job/cpu.max": "max 100000",
          "sys/fs/cgroup/user/cpu.max": "250000 100000"}, 2),
        ({"proc/self/cgroup": "0::/host/path", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ({**V2, "sys/fs/cgroup/user/job/cpu.max": "9900000 100000"}, 16),
        ({**V1, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "-1",
          "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, 16),
        ({**V1, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "600000",
          "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000"}, 6),
        ({**V1, "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000",
          "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"}, 2),
        ({**V2, "sys/fs/cgroup/user/job/cpu.max": "garbage"}, 16),
    ],
)  # fmt: skip
def test_cores_are_those_of_mask_and_quota(files, expected, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert available_cores(tree(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("inherited", "processes", "expected"),
    [
        (None, 1, 8),
        (None, 3, 2),
        (None, 20, 1),
        ("2", 1, 2),
        ("6", 4, 2),
        ("3,2", 1, 3),
        ("", 1, 8),
    ],
)
def test_an_inherited_number_is_an_upper_bound(
    inherited, processes, expected, cores, monkeypatch
) -> None:
    cores(8)
    if inherited is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", inherited)
    assert most_threads(processes) == expected


@pytest.mark.parametrize(("inherited", "share"), [(None, "4"), ("8", "4"), ("2", "2")])
def test_a_job_of_a_pool_gets_its_share_at_most(inherited, share, cores, monkeypatch) -> None:
    cores(8)
    if inherited:
        monkeypatch.setenv("OMP_NUM_THREADS", inherited)
    assert Pool(workers=2).environment(0)["OMP_NUM_THREADS"] == share


@pytest.mark.parametrize("setting", [0, -1, 1.5, True, "all", None])
def test_a_number_of_threads_that_cannot_be_is_refused(setting) -> None:
    with pytest.raises(ValueError, match=rf"trainer.threads={setting}: must be auto or an integer"):
        check_threads(setting)


def test_more_threads_than_there_are_cores_are_refused(cores, tiny) -> None:
    cores(2)
    with pytest.raises(ValueError, match=r"trainer.threads=3: a process may use 2 here"):
        train(tiny("trainer.threads=3"), "run")
    with pytest.raises(ValueError, match=r"trainer.threads=3: a process may use 2 here"):
        Preflight().check(tiny("trainer.threads=3"))
    Preflight(elsewhere=True).check(tiny("trainer.threads=3"))
    with pytest.raises(ValueError, match=r"trainer.threads=0: must be auto or an integer >= 1"):
        train(tiny("trainer.threads=0"), "other")


class Machine:
    """A step that takes a time by the number of threads, on a clock of its own."""

    def __init__(self, seconds: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.now, self.threads = seconds, 0.0, 1
        self.steps: list[tuple[int, int]] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(
            torch, "set_num_threads", lambda number: setattr(self, "threads", number)
        )
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)

    def use(self, number: int) -> None:
        self.threads = number

    def step(self, size: int) -> None:
        self.steps.append((self.threads, size))
        self.now += self.seconds[self.threads] * size / 32


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 0.010, 2: 0.006}, 2),
        ({1: 0.010, 2: 0.200}, 1),
        ({1: 0.010, 2: 0.0099}, 1),  # a thread that gains nothing is left to others
        ({1: 0.040, 2: 0.020, 4: 0.010, 6: 0.030}, 4),
    ],
)
def test_the_fastest_number_is_chosen(seconds, best, monkeypatch) -> None:
    machine = Machine(seconds, monkeypatch)
    assert fastest(machine.step, 32, max(seconds), steps=1200) == best
    assert machine.threads == 1  # as it was


def test_one_slow_moment_decides_nothing(monkeypatch) -> None:
    machine = Machine({1: 0.010, 2: 0.006}, monkeypatch)
    turns = []

    def step(size: int) -> None:
        machine.step(size)
        turns.append(machine.threads)
        if turns.count(2) == 3 and machine.threads == 2:
            machine.now += 1.0

    assert fastest(step, 32, 2, steps=100_000) == 2


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [({1: 0.012, 2: 0.010}, 40), ({1: 0.012, 2: 0.010}, 100_000), ({1: 2.0, 2: 1.0}, 100),
     ({1: 60.0, 2: 30.0}, 30), ({1: 60.0, 2: 30.0}, 2_000)],
)  # fmt: skip
def test_the_comparison_costs_a_hundredth_of_the_run(seconds, steps, monkeypatch) -> None:
    machine = Machine(seconds, monkeypatch)
    assert fastest(machine.step, 32, 2, steps) == 2
    # What the estimate takes, and the turn that is under way, come on top.
    allowed = max(0.25, 0.01 * steps * min(seconds.values()))
    assert machine.now < allowed + 0.1 * max(seconds.values()) + sum(seconds.values())


def test_a_long_step_of_a_short_run_is_not_timed_whole(monkeypatch) -> None:
    machine = Machine({1: 60.0, 2: 30.0}, monkeypatch)
    assert fastest(machine.step, 32, 2, steps=30) == 2
    assert machine.steps == [(1, 2)]


def test_a_number_that_is_far_behind_is_timed_once_in_a_short_run(monkeypatch) -> None:
    machine = Machine({1: 0.1, 2: 5.0}, monkeypatch)
    assert fastest(machine.step, 32, 2, steps=40) == 1
    assert [threads for threads, _ in machine.steps].count(2) == 1


def test_the_comparison_changes_nothing_that_the_training_uses(cores, tiny) -> None:
    cores(2)
    run = Run(Path(), tiny("model.depth=8"), {})
    data = run.build_data()
    data.setup("fit")
    torch.manual_seed(3)
    net = run.build_task().net
    weights, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    position = data.state_dict()
    assert for_training(run.config, net, data) in (1, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert data.state_dict() == position
    for name, value in net.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_run_records_its_threads_and_keeps_them(cores, tiny, monkeypatch, caplog) -> None:
    cores(4)
    monkeypatch.setattr(thread_choice, "fastest", lambda step, size, most, steps: 3)
    with ActiveRun.open("run", tiny()) as run:
        monkeypatch.setattr(run, "finish", lambda *measured: None)
        fit_and_test(run)
    status = Run.load("run").status
    assert status["threads"] == 3
    assert status["device"].startswith("3 threads of ")
    monkeypatch.setattr(thread_choice, "fastest", None)  # it is not asked again
    cores(2)
    train(Run.load("run").config, "run")
    assert Run.load("run").status["threads"] == 2
    said = [text for text in caplog.messages if "this run had 3 threads" in text]
    assert len(said) == 1


def test_a_given_number_is_used_by_train_and_evaluate(cores, tiny, monkeypatch) -> None:
    cores(2)
    monkeypatch.setattr(thread_choice, "fastest", None)
    train(tiny("trainer.threads=2", "trainer.max_epochs=1"), "run")
    run = Run.load("run")
    assert run.status["threads"] == 2
    torch.set_num_threads(1)
    evaluate(run)
    assert torch.get_num_threads() == 2


def test_an_evaluation_takes_the_fastest_number(cores, tiny, monkeypatch) -> None:
    train(tiny("trainer.threads=1"), "run")
    cores(2)
    monkeypatch.setattr(thread_choice, "fastest", lambda step, size, most, steps: 2)
    run = Run.load("run")
    run.config.trainer.threads = "auto"
    evaluate(run)
    assert torch.get_num_threads() == 2


def test_the_processes_of_a_run_share_the_cores(cores, tiny, monkeypatch) -> None:
    cores(8)
    monkeypatch.setattr(thread_choice, "fastest", lambda step, size, most, steps: most)
    run = Run(Path(), tiny("trainer.devices=2"), {})
    data = run.build_data()
    data.setup("fit")
    assert for_training(run.config, run.build_task().net, data) == 4


def test_runs_that_are_alike_share_a_choice_for_a_while(cores, tiny, monkeypatch) -> None:
    cores(8)
    measured = iter([3, 5])
    monkeypatch.setattr(thread_choice, "fastest", lambda step, size, most, steps: next(measured))
    monkeypatch.setattr(thread_choice, "recent", {})
    run = Run(Path(), tiny(), {})
    data = run.build_data()
    data.setup("fit")
    net = run.build_task().net
    assert [for_training(run.config, net, data) for _ in range(2)] == [3, 3]
    monkeypatch.setattr(thread_choice, "FRESH", 0.0)
    assert for_training(run.config, net, data) == 5


def test_processes_of_srun_have_cores_of_their_own(cores, tiny, monkeypatch) -> None:
    cores(4)
    config = tiny("trainer.devices=2")
    assert thread_choice.most_for(config) == 2
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert thread_choice.most_for(config) == 4
    cores(8)  # not bound: both see the cores of both
    assert thread_choice.most_for(config) == 4
