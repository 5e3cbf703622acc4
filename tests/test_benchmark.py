"""The benchmark measures both sides of each question; how good they are is no test's matter."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from resnet_lab import benchmark
from resnet_lab.measuring import growth, loader, loops, middle, pair, processes, rival, subject
from resnet_lab.runs.run import Run


class Clock:
    """The time, with more of it passed when told so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, stands: bool = False) -> None:
        self.passed = 0.0
        now = (lambda: 0.0) if stands else time.perf_counter
        told = SimpleNamespace(perf_counter=lambda: now() + self.passed)
        monkeypatch.setattr(loops, "time", told)


class Slow(torch.nn.Module):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.clock.passed += 0.02
        return images


SMALL = ("data=digits", "model.depth=8", "trainer.precision=32-true", "trainer.accelerator=cpu")


def test_every_question_is_answered_with_both_sides(monkeypatch, tmp_path: Path, capsys) -> None:
    start = {"imports": 2.0, "first_step": 3.0, "ratio": 1.5, "n": 1}
    monkeypatch.setattr(processes, "start_up", lambda repeats: start)
    monkeypatch.setattr(subject, "middle", lambda other, ours: (len(other), len(ours), 0.5))
    monkeypatch.setattr(loader, "pair", lambda other, ours, repeats: (other(), ours(), 3.0))
    benchmark.main([*SMALL, "--repeats", "1", "--json", str(tmp_path / "figures.json")])
    found = json.loads((tmp_path / "figures.json").read_text())
    trainer = found["trainer"]
    assert trainer.pop("between_epochs") > 0
    blocks = 8 * 32  # of one epoch, times images in a batch
    assert trainer == {"bare": blocks, "ours": blocks, "ratio": 0.5, "n": 8, "n_between": 1}
    assert found["loader"]["ratio"] == 3.0
    assert min(found["loader"].values()) > 0
    assert {"lightning", "ours", "difference", "input", "n"} == set(found["step_overhead"])
    assert found["start"]["ratio"] == 1.5
    assert len(found["variants"]) >= 4
    assert found["recommended"] in found["variants"]
    assert found["images"] == "digits"
    assert found["machine"]["versions"]["torch"]
    fastest = max(found["variants"].values())
    assert found["variants"][found["recommended"]] == fastest > 0
    shown = capsys.readouterr().out
    assert "recommended: trainer.precision=" in shown
    assert [found[name]["n"] for name in ("trainer", "step_overhead", "loader")] == [8, 2, 1]
    assert re.search(r"question +┃ +n +┃", shown)
    assert not Path("logs").exists()  # the measured runs leave nothing


def test_the_overhead_of_a_step_is_the_median_of_differences(monkeypatch, tiny) -> None:
    measured = SimpleNamespace(others=[1000.0, 500.0, 250.0], rates=[250.0, 200.0, 125.0])
    monkeypatch.setattr(subject, "timed_training", lambda *args, **kwargs: measured)
    monkeypatch.setattr(subject, "loader_rate", lambda data, seconds: 6400.0)
    found = subject.Subject(tiny()).step_overhead(1)
    assert found == {"lightning": 2.0, "ours": 5.0, "difference": 3.0, "input": 5.0, "n": 3}  # ms


def test_random_images_stand_in_for_a_data_set_that_is_not_here(monkeypatch, tmp_path) -> None:
    from resnet_lab.sweeps.resolvers import register_resolvers

    register_resolvers()
    monkeypatch.setenv("RESNET_LAB_DATA", str(tmp_path))
    cfg, stand_in = benchmark.composed(benchmark.DEFAULTS)
    assert stand_in
    data = Run(Path(), cfg, {}, trust=True).build_data()
    data.setup("fit")
    images, labels = data.finish(next(iter(data.train_dataloader())), augment=True)
    assert images.shape == (128, 3, 32, 32)
    assert labels.max() < 10


def test_each_ratio_is_of_two_measured_in_turn() -> None:
    # A machine that halves its speed in the middle: the two are alike, which medians hide.
    assert middle([4.0, 2.0, 2.0], [4.0, 4.0, 2.0]) == (2.0, 4.0, 1.0)
    turns = iter([1.0, 3.0, 2.0, 5.0])
    assert pair(lambda: next(turns), lambda: next(turns), 2) == (1.5, 4.0, 2.75)


def test_the_bare_loop_trains() -> None:
    net = loops.free_network(10, 3)
    before = net[2].weight.clone()
    batch = torch.randn(8, 3, 4, 4), torch.arange(8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert loops.BareLoop(net, optimizer, batch, "32-true").rate(2) > 0
    assert not torch.equal(net[2].weight, before)


def test_a_rate_is_the_number_of_steps_by_the_time(monkeypatch) -> None:
    clock = Clock(monkeypatch, stands=True)
    net = torch.nn.Sequential(Slow(clock), loops.free_network(10, 3))
    batch = torch.randn(8, 3, 4, 4), torch.arange(8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert loops.BareLoop(net, optimizer, batch, "32-true").rate(20) == pytest.approx(50)


def test_what_takes_turns_with_training_is_out_of_its_time(tiny, monkeypatch) -> None:
    time_passed = Clock(monkeypatch)

    def other() -> float:
        time_passed.passed += 1e6
        return 7.0

    clock = loops.timed_training(tiny("trainer.max_epochs=1"), 8, 2, 4, other)
    assert clock.others == [7.0] * 8
    assert len(clock.rates) == 8  # two epochs of four blocks
    assert len(clock.between) == 2
    assert min(clock.rates) > 2 / 1e6  # steps/s of blocks of two


def test_a_measured_command_that_fails_says_why() -> None:
    assert 0 < processes.seconds_of("-c", "pass") < 60
    with pytest.raises(ValueError, match="the reason"):
        processes.seconds_of("-c", "raise SystemExit('the reason')")


def test_a_wrong_number_of_repeats_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--repeats", "0"])
    assert capsys.readouterr().err == "error: --repeats 0: must be an integer >= 1\n"


@pytest.mark.slow
def test_the_process_ends_at_its_first_step(tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable, "-m", "resnet_lab.train", "run_dir=run",
            "+callbacks.last_step._target_=resnet_lab.measuring.processes.LastStep",
        ],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "running"
    assert not (tmp_path / "run/checkpoints").exists()


def test_a_line_is_linear_and_a_curve_is_not() -> None:
    assert growth.linearity({"20": 1.0, "32": 1.6, "56": 2.8, "110": 5.5}) < 1e-9
    assert growth.linearity({"20": 1.0, "32": 1.6, "56": 2.8, "110": 11.0}) > 0.1


@pytest.fixture
def other_template(tmp_path: Path) -> Path:
    script = tmp_path / "clone/src/train.py"
    script.parent.mkdir(parents=True)
    script.touch()
    return tmp_path / "clone"


def test_the_other_template_is_timed_beside_ours(other_template, monkeypatch, tmp_path) -> None:
    (tmp_path / "data/MNIST").mkdir(parents=True)
    started = []

    def seconds_of(*arguments: str, **environment: str) -> float:
        started.append((arguments, environment))
        if arguments[0] == "-c":
            return 2.0
        if arguments[0].endswith("src/train.py"):
            return 60.0
        return 12.0 if "-m" in arguments[2:] else 4.0

    monkeypatch.setattr(rival, "seconds_of", seconds_of)
    found = rival.against_rival(other_template, tmp_path / "data", repeats=1, jobs=5)
    assert found == {
        "theirs": 60.0, "ours": 4.0, "ratio": 15.0, "imports": 2.0, "further_job": 2.0,
        "ratio_further_job": 30.0, "n": 1,
    }  # fmt: skip
    (theirs, _), (ours, environment), *_ = started
    assert f"paths.data_dir={tmp_path}/data/" in theirs
    assert f"data_dir={tmp_path}/data" in ours
    assert str(other_template) in environment["PYTHONPATH"]


def test_no_clone_and_no_data_are_refused(other_template, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--rival", str(tmp_path)])
    error = capsys.readouterr().err
    assert error.startswith(f"error: --rival {tmp_path}: it has no src/train.py; give a clone of")
    with pytest.raises(ValueError, match=r"MNIST is not in .*/none; train on data=mnist once"):
        rival.against_rival(other_template, tmp_path / "none")
