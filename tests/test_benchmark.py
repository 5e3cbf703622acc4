"""The benchmark of the user's machine; how good its figures are is no test's matter."""

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from resnet_lab import benchmark
from resnet_lab.measuring import loops, medians, subject
from resnet_lab.runs.trained.run import Run


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


def linear() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 10))


def test_every_question_is_answered_with_both_sides(monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setattr(subject, "medians", lambda other, ours: (len(other), len(ours), 0.5))
    benchmark.main([*SMALL, "--repeats", "1", "--json", str(tmp_path / "figures.json")])
    found = json.loads((tmp_path / "figures.json").read_text())
    trainer = found["trainer"]
    assert trainer.pop("between_epochs") > 0
    blocks = 8 * 32  # of one epoch, times images in a batch
    assert trainer == {"bare": blocks, "ours": blocks, "ratio": 0.5, "n": 8, "n_between": 1}
    assert len(found["variants"]) >= 4
    assert found["recommended"] in found["variants"]
    assert found["images"] == "digits"
    assert found["machine"]["versions"]["torch"]
    fastest = max(found["variants"].values())
    assert found["variants"][found["recommended"]] == fastest > 0
    shown = capsys.readouterr().out
    assert "recommended: trainer.precision=" in shown
    assert re.search(r"question +┃ +n +┃", shown)
    assert not Path("logs").exists()  # the measured runs leave nothing


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
    assert medians([4.0, 2.0, 2.0], [4.0, 4.0, 2.0]) == (2.0, 4.0, 1.0)


def test_the_bare_loop_trains() -> None:
    net = linear()
    before = net[1].weight.clone()
    batch = torch.randn(8, 3, 4, 4), torch.arange(8)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert loops.BareLoop(net, optimizer, batch, "32-true").rate(2) > 0
    assert not torch.equal(net[1].weight, before)


def test_a_rate_is_the_number_of_steps_by_the_time(monkeypatch) -> None:
    clock = Clock(monkeypatch, stands=True)
    net = torch.nn.Sequential(Slow(clock), linear())
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


def of_my_own() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8 * 8, 10))


def test_a_network_of_the_user_s_own_package_is_measured(tiny) -> None:
    cfg = tiny()
    cfg.model = {"_target_": f"{__name__}.of_my_own", "name": "own"}
    measured = subject.Subject(cfg)
    measured.settle_threads()
    assert measured.bare().rate(2) > 0


def test_a_wrong_number_of_repeats_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--repeats", "0"])
    assert capsys.readouterr().err == "error: --repeats=0: must be an integer >= 1\n"
