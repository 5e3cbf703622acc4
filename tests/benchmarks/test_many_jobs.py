"""The benchmark of many jobs makes sweeps that the real commands take for finished ones."""

import json
from pathlib import Path

import pytest

from benchmarks import many_jobs
from resnet_lab.reporting.reading import read_results
from resnet_lab.sweeps.record import load


def test_copies_are_jobs_of_other_seeds(command, tmp_path: Path) -> None:
    code, _, err = command("-m", *many_jobs.TINY, "seed=0", "sweep_dir=sweep")
    assert code == 0, err
    many_jobs.copy_jobs(tmp_path / "sweep", 3)
    results = read_results(["sweep"])
    assert results.states == {"done": 3}
    assert sorted(job.seed for job in results.jobs) == [0, 1, 2]
    assert all(entry["metric"] is not None for entry in load(Path("sweep"))["jobs"])
    code, out, err = command("-m", *many_jobs.TINY, "seed=0,1,2", "sweep_dir=sweep")
    assert code == 0, err
    assert "3 of 3 jobs are done already" in out


@pytest.mark.slow
def test_each_kind_of_work_is_measured(tmp_path: Path, capsys) -> None:
    many_jobs.main(["--jobs", "2", "--json", "found.json"])
    (found,) = json.loads(Path("found.json").read_text()).values()
    assert capsys.readouterr().out.count("2 jobs") == len(found) == 6
    assert all(used["seconds"] > 0 and used["cpu"] > 0 for used in found.values())
