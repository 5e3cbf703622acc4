"""Sweeps whose records or jobs were damaged: each job is for itself, and `sweep.json` is true."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import resnet_lab.sweeps.sweep as sweep_module
from resnet_lab.reporting.report import report
from resnet_lab.runs.trained.run import Run
from resnet_lab.sweeps.job import Job
from resnet_lab.sweeps.launchers.pool import Pool
from resnet_lab.sweeps.launchers.runner import Stream
from resnet_lab.sweeps.record import load
from resnet_lab.sweeps.sweep import Sweep, announce
from tests.helpers import TINY, Command, Compose, fits, record
from tests.helpers import runs_of as runs

SWEEP = ("-m", *TINY, "trainer.max_epochs=1", "sweep_dir=sweep", "seed=0,1")
COMMON = OmegaConf.create({"name": "test", "monitor": "val/acc"})


def states() -> list[str]:
    return [entry["state"] for entry in record()["jobs"]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sweep is kept that the tests damage, each a copy of its own."""
    return tmp_path_factory.mktemp("kept") / "sweep"


@pytest.fixture
def done(kept: Path, command: Command) -> Path:
    """The first run of a finished sweep of two jobs."""
    if kept.exists():
        shutil.copytree(kept, "sweep")
    else:
        assert command(*SWEEP)[0] == 0
        shutil.copytree("sweep", kept)
    return Path("sweep", min(runs()))


def test_a_finished_sweep_goes_on_without_composing_or_checking(
    done: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet_lab.sweeps.composing.Composer.__call__", None)
    monkeypatch.setattr("resnet_lab.sweeps.preflight.Preflight", None)
    code, out, err = command(*SWEEP)
    assert (code, err) == (0, "")
    assert "2 of 2 jobs are done already" in out


def test_a_job_does_not_read_and_write_the_record_of_all(command: Command, monkeypatch) -> None:
    changes, change = [], sweep_module.change
    monkeypatch.setattr(sweep_module, "change", lambda path: changes.append(path) or change(path))
    assert command(*SWEEP)[0] == 0
    assert len(changes) == 3  # the sweep began, had its jobs, and ended
    assert states() == ["done", "done"]


def test_a_deleted_job_is_run_again(done: Path, command: Command) -> None:
    shutil.rmtree(done)
    code, out, err = command(*SWEEP)
    assert (code, err) == (0, "")
    assert "1 of 2 jobs are done already" in out
    assert (done / "metrics.csv").exists()
    assert states() == ["done", "done"]
    assert all(fits(run) == 1 for run in runs().values())


@pytest.mark.parametrize("content", ["", "null", "[1]", "{garbage", '{"state": 3}', "\xff"])
def test_a_damaged_job_fails_in_one_line_and_stops_no_other(
    content: str, done: Path, command: Command
) -> None:
    (done / "status.json").write_bytes(content.encode("latin-1"))
    shutil.rmtree(max(path for path in Path("sweep").iterdir() if path.is_dir()))
    code, _, err = command(*SWEEP)
    assert code == 1
    assert err.count("is damaged") == err.count("\n") - 1 == 1
    assert "1 of 2 jobs failed" in err.splitlines()[-1]
    assert (record()["state"], states()) == ("failed", ["failed", "done"])
    assert "status.json is damaged" in record()["jobs"][0]["error"]


@pytest.mark.parametrize("content", [None, "", "null", "{garbage", '{"jobs": 3}', '{"jobs": [3]}'])
def test_a_lost_record_is_made_again(content: str | None, done: Path, command: Command) -> None:
    before = record()["jobs"]
    Path("sweep/sweep.json").unlink()
    if content is not None:
        Path("sweep/sweep.json").write_text(content)
    assert load(Path("sweep"))["jobs"] == before
    assert report(["sweep"], write=False).results.states == {"done": 2}
    announce(done)
    code, out, err = command(*SWEEP)
    assert (code, err) == (0, "")
    assert "2 of 2 jobs are done already" in out
    assert (record()["state"], record()["jobs"]) == ("done", before)


def test_a_record_that_is_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    jobs = [Job(name, [name]) for name in ("seed=0", "seed=1", "seed=2")]
    with Sweep.open("sweep", COMMON) as sweep:
        sweep.add(jobs)
        for job in jobs:
            run = tmp_path / "sweep" / job.directory
            run.mkdir()
            status = {"state": "done", "overrides": job.overrides, "best": {"value": 0.5}}
            if job is not jobs[2]:
                (run / "status.json").write_text(json.dumps(status))
                Path("sweep/sweep.json").unlink(missing_ok=True)
        assert sweep.states() == {"seed=0": "done", "seed=1": "done", "seed=2": "pending"}
    assert record()["state"] == "interrupted"
    assert states() == ["done", "done", "pending"]


def test_entries_that_lead_out_of_the_sweep_are_no_jobs(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "elsewhere")
    Path("sweep/link").symlink_to(tmp_path / "elsewhere")
    told = record()
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "..", "link", ".", ""):
        told["jobs"].append({**told["jobs"][0], "directory": name})
    Path("sweep/sweep.json").write_text(json.dumps(told))
    assert len(load(Path("sweep"))["jobs"]) == 2
    inside = (tmp_path / "sweep").resolve()
    found = report(["sweep"], write=False).results.jobs
    assert all(inside == job.directory.parent for job in found)
    with pytest.raises(ValueError, match="link is a link"), Sweep.open("sweep", COMMON) as sweep:
        sweep.add([Job("link", ["seed=0"])])


# What the process of a job does to its run directory, before it ends.
PROCESS = """
import json, os, pathlib, shutil, sys
run = pathlib.Path(sys.argv[1])
status = json.loads((run / "status.json").read_text())
def end(state):
    (run / "status.json").write_text(json.dumps({**status, "state": state}))
{action}
"""

ACTIONS = {
    "done": "end('done')",
    "dies at exit": "end('done'); os.abort()",
    "deleted": "shutil.rmtree(run)",
    "deleted and killed": "shutil.rmtree(run); os.kill(os.getpid(), 9)",
    "garbage": "(run / 'status.json').write_text('null')",
    "framed": "print('the last words\\n\\u2502 \\u2502\\n\\u2514\\u2500\\u2518'); sys.exit(3)",
}


def test_a_pool_runs_each_job_for_itself(
    tiny: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(place: Path) -> list[str]:
        action = PROCESS.replace("{action}", ACTIONS[place.name])
        return [sys.executable, "-c", action, str(place)]

    monkeypatch.setattr("resnet_lab.sweeps.launchers.job_process.command", command)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    jobs = [Job(name, [f"tag={name}"]) for name in ACTIONS]
    with Sweep.open("sweep", COMMON) as sweep:
        sweep.add(jobs)
        returns = Pool(workers=2).run("sweep", Stream.of(jobs), lambda overrides: tiny())
    assert [result.status.name == "COMPLETED" for result in returns] == [True, True] + 4 * [False]
    err = capsys.readouterr().err
    assert err.count("error: job ") == err.count("\n") == 4
    assert "tag=framed: ended with exit code 3: the last words\n" in err
    assert Run.load("sweep/dies at exit").done
