"""How a pool shares the cores and the GPUs of this machine."""

import os
import time
from pathlib import Path

import pytest
import torch

from resnet_lab.core import device, threads
from resnet_lab.sweeps.launchers import pool, slots
from resnet_lab.sweeps.launchers.slots import Share, choose, share_cores, shares, throughput
from resnet_lab.sweeps.record import load
from tests.helpers import JOBS, fits, record
from tests.helpers import runs_of as runs


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "available_cores", lambda: 8)
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_the_ways_to_share_never_use_more_threads_than_cores(monkeypatch) -> None:
    assert shares(20, 1, "auto") == [(1, 8), (2, 4), (4, 2), (8, 1)]
    assert shares(3, 1, "auto") == [(1, 8), (2, 4), (3, 2), (3, 1)]
    assert shares(20, 1, 3) == [(2, 3)]
    assert shares(20, 2, "auto") == [(1, 4), (2, 2), (4, 1)]  # jobs of two processes
    assert shares(20, 16, "auto") == [(1, 1)]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert shares(20, 1, "auto") == [(4, 2), (8, 1)]


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[Share, tuple[float | None, int]]:
    """What is measured: a rate and bytes of memory, by the way to share."""
    found: dict[Share, tuple[float | None, int]] = {}
    monkeypatch.setattr(slots, "throughput", lambda step, images, way: found[way])
    return found


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ((100, 150, 190, 220), (8, 1)),  # a small network
        ((100, 150, 140, 90), (2, 4)),  # a large one
        ((100, 150, 152, 151), (8, 1)),  # alike: fewer threads
        ((None, 10, 20, 30), (8, 1)),
        ((None, None, None, None), (8, 1)),
    ],
)
def test_what_trains_most_images_a_second_is_chosen(measured, chosen, rates, tiny, caplog) -> None:
    ways = shares(20, 1, "auto")
    rates |= {way: (rate, 0) for way, rate in zip(ways, measured, strict=True)}
    caplog.set_level("INFO", "resnet_lab")
    assert choose(slots.Run(Path(), tiny(), {}), ways) == chosen
    (line,) = caplog.messages
    assert line.startswith("workers x threads, images/s in all: ")
    assert "4 x 2" in line or measured[2] is None


def test_what_does_not_fit_into_memory_is_not_tried(rates, tiny, monkeypatch) -> None:
    monkeypatch.setattr(slots, "free_memory", lambda: 2**30)
    ways = shares(20, 1, "auto")
    rates |= {ways[0]: (100.0, 2**29), ways[1]: (200.0, 2**29)}  # four would take all
    assert choose(slots.Run(Path(), tiny(), {}), ways) == (2, 4)


def test_processes_are_timed_together_and_end(tmp_path: Path) -> None:
    def step(images: int) -> None:
        (tmp_path / f"{os.getpid()}.{torch.get_num_threads()}").touch()
        time.sleep(0.001)

    rate, memory = throughput(step, 4, Share(3, 1))
    assert rate is not None
    assert rate > 0
    assert memory >= 0
    pids = [int(path.stem) for path in tmp_path.iterdir()]
    assert len(pids) == 3
    assert {path.suffix for path in tmp_path.iterdir()} == {".1"}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_process_that_dies_gives_no_rate(tmp_path: Path) -> None:
    def step(images: int) -> None:
        os._exit(1)

    assert throughput(step, 4, Share(2, 1))[0] is None


def test_a_resumed_sweep_keeps_its_threads(rates, tiny) -> None:
    directory = Path("sweep")
    directory.mkdir()
    rates |= {way: (100.0 * way.threads, 0) for way in shares(20, 1, "auto")}
    assert share_cores(directory, tiny(), 20) == (1, 8)
    assert load(directory)["threads"] == 8
    rates.clear()  # a measurement would fail
    assert share_cores(directory, tiny(), 20) == (1, 8)


def test_jobs_that_share_a_gpu_share_its_memory(monkeypatch) -> None:
    monkeypatch.setattr(pool, "visible_gpus", lambda: ["3", "5"])
    environments = [pool.Pool(jobs_per_gpu=2).environment(slot) for slot in range(4)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments] == ["3", "5", "3", "5"]
    assert {each[device.MEMORY_SHARE] for each in environments} == {"0.45"}
    assert device.MEMORY_SHARE not in pool.Pool(jobs_per_gpu=1).environment(0)


def test_a_job_takes_no_more_than_its_part_of_a_gpu(monkeypatch) -> None:
    taken: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", taken.append)
    device.limit_gpu_memory()
    monkeypatch.setenv(device.MEMORY_SHARE, "0.45")
    device.limit_gpu_memory()
    assert taken == [0.45]


@pytest.mark.slow
def test_a_pool_shares_this_machine_by_itself(command) -> None:
    code, out, err = command(
        "-m", *JOBS, "hydra/launcher=local_pool", "seed=0,1", "trainer.max_epochs=1"
    )
    assert code == 0, err
    assert "jobs, 2 at once" in out or "workers x threads, images/s in all: " in out
    assert all(run.done and fits(run) == 1 for run in runs().values())
    used = record()["threads"]
    assert all(run.status["threads"] <= used for run in runs().values())
