import json
from pathlib import Path

import pytest
from filelock import FileLock

from resnet_lab.reporting.reading import read_results
from tests.reporting.fakes import fake_job


def only_job(directory: Path):
    (job,) = read_results([directory]).jobs
    return job


def test_a_job_is_what_its_status_says(tmp_path: Path) -> None:
    fake_job(tmp_path, "optimizer.lr=0.10", "+model.x='a'", "log_dir=elsewhere", "seed=3")
    job = only_job(tmp_path)
    assert (job.state, job.value, job.tests["acc"], job.seed) == ("done", 0.9, 0.88, 3)
    assert (job.monitor, job.epoch, job.seconds, job.error) == ("val/acc", 1, 60.0, None)
    assert job.settings == {"optimizer.lr": "0.1", "model.x": "a"}


@pytest.mark.parametrize("typed", ["1e-3", "0.001", "0.0010"])
def test_as_typed_has_one_form_for_a_number(typed: str, tmp_path: Path) -> None:
    fake_job(tmp_path, f"optimizer.lr={typed}")
    assert only_job(tmp_path).settings == {"optimizer.lr": "0.001"}


def test_a_random_seed_is_read_from_the_configuration(tmp_path: Path) -> None:
    path = fake_job(tmp_path, "seed=null")
    (path / "config.yaml").write_text("seed: 77\n")
    assert only_job(tmp_path).seed == 77


def test_setting_falls_back_to_the_configuration(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", config="model: {name: resnet20, residual: true}\n")
    job = only_job(tmp_path)
    assert job.setting("model") == "resnet20"
    assert job.setting("model.residual") == "true"
    assert job.setting("experiment") == "default"


def test_a_running_job_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", state="running")
    path = fake_job(tmp_path, "seed=1", state="running")
    (path / ".lock").touch()
    assert read_results([tmp_path]).states == {"interrupted": 2}


def test_a_running_job_with_a_held_lock_is_running(tmp_path: Path) -> None:
    path = fake_job(tmp_path, "seed=0", state="running")
    (path / "status.json").unlink()  # it has only begun
    with FileLock(path / ".lock"):
        assert read_results([tmp_path]).states == {"running": 1}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"state": "done", "be', "status.json is damaged: Unterminated"),
        ("[1]", "status.json is damaged: it holds no object"),
        ('{"state": "sleeping"}', "status.json has an unknown state: sleeping"),
        ("{}", "status.json has an unknown state: None"),
    ],
)
def test_a_damaged_status_is_a_failed_job_with_the_reason(
    text: str, error: str, tmp_path: Path
) -> None:
    path = fake_job(tmp_path, "seed=0")
    (path / "status.json").write_text(text)
    job = only_job(tmp_path)
    assert job.state == "failed"
    assert error in (job.error or "")


@pytest.mark.parametrize("best", ["null", "NaN", '"0.9"', "true"])
def test_a_value_that_is_not_a_number_is_none(best: str, tmp_path: Path) -> None:
    path = fake_job(tmp_path, "seed=0")
    status = f'{{"state": "done", "best": {{"monitor": "val/acc", "value": {best}}}, "test": 3}}'
    (path / "status.json").write_text(status)
    assert (only_job(tmp_path).value, only_job(tmp_path).tests.get("acc")) == (None, None)


@pytest.mark.parametrize("config", ["", "[1, 2]", "a: [", "a: ${b}\n"])
def test_a_damaged_configuration_keeps_the_job(config: str, tmp_path: Path) -> None:
    path = fake_job(tmp_path, "model.depth=8")
    (path / "config.yaml").write_text(config)
    assert (only_job(tmp_path).seed, only_job(tmp_path).value) == (None, 0.9)


def test_the_sweep_record_adds_pending_jobs(tmp_path: Path) -> None:
    path = fake_job(tmp_path, "seed=0")
    jobs = [
        {"directory": "seed=1", "overrides": ["seed=1"], "state": "pending"},
        {"directory": path.name, "overrides": ["seed=0"], "state": "running"},  # status.json knows
        {
            "directory": "seed=2",
            "overrides": ["seed=2"],
            "state": "failed",
            "error": "no\nsuch key",
        },
    ]
    record = {"command": "train -m seed=0,1,2", "jobs": jobs, "search": True}
    (tmp_path / "sweep.json").write_text(json.dumps(record))
    results = read_results([tmp_path])
    assert [(job.seed, job.state) for job in results.jobs] == [
        (1, "pending"),
        (0, "done"),
        (2, "failed"),
    ]
    assert results.jobs[2].error == "no such key"
    assert results.trials(results.jobs[1:]) == list(results.jobs[1:])
    assert results.about[0]["command"] == "train -m seed=0,1,2"


def test_the_sweep_record_has_the_settings_of_a_damaged_job(tmp_path: Path) -> None:
    path = fake_job(tmp_path, "model=a", "seed=5")
    (path / "status.json").write_text("{")
    entry = {"directory": path.name, "overrides": ["model=a", "seed=5"], "state": "done"}
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [entry]}))
    (job,) = read_results([tmp_path]).jobs
    assert (job.state, job.settings, job.seed) == ("failed", {"model": "a"}, 5)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"jobs": [1, {"state": "done"}]}'])
def test_a_damaged_sweep_record_keeps_the_runs(text: str, tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0")
    (tmp_path / "sweep.json").write_text(text)
    assert read_results([tmp_path]).states == {"done": 1}


def test_sweeps_runs_and_single_runs_are_read_together_and_once(tmp_path: Path) -> None:
    first = fake_job(tmp_path / "sweeps/a", "seed=0", started="2")
    second = fake_job(tmp_path / "sweeps/b", "seed=1", started="1")
    every = read_results([tmp_path])
    assert [job.directory for job in every.jobs] == [second, first]  # in the order of starting
    both = read_results([tmp_path / "sweeps/a", second, first])
    assert {job.directory for job in both.jobs} == {first, second}
    assert len(both.jobs) == 2
    assert both.shown(both.jobs[0]) == "seed=0"


def test_size_on_disk_is_counted_with_and_without_checkpoints(tmp_path: Path) -> None:
    for seed in range(2):
        fake_job(tmp_path, f"seed={seed}")
    results = read_results([tmp_path, tmp_path / "seed=0"])
    total = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert (results.disk, results.checkpoints) == (total, 2000)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such directory; sweeps are in"):
        read_results(["nowhere"])
    with pytest.raises(ValueError, match="there is no run in it"):
        read_results([tmp_path])
