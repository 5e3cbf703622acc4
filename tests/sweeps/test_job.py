"""Names of job directories: one for each job, and a file system takes it."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from resnet_lab.sweeps.job import find_jobs, job_dir


def test_a_job_directory_is_one_name_of_allowed_length() -> None:
    assert job_dir(["seed=0", "optimizer.lr=0.1"]) == "optimizer.lr=0.1,seed=0"
    assert job_dir(["callbacks.progress=null", "data_dir=/x", "seed=0"]) == "seed=0"
    assert job_dir([]) == "default"
    assert "/" not in job_dir(["data.root=/a/b"])
    long = [job_dir([f"x={'y' * 300}{end}"]) for end in "ab"]
    assert all(len(name) < 160 for name in long)
    assert long[0] != long[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["data.root=a/x"], ["data.root=a_x"]),
        (["data.root=a/b_c"], ["data.root=a_b/c"]),
        (["x=a\nb"], ["x=a_b"]),
        (["seed=0", "seed=1"], ["seed=1", "seed=0"]),
        (["x=" + "\N{SNOWMAN}" * 200], ["x=" + "\N{SNOWMAN}" * 201]),
    ],
)
def test_different_jobs_have_different_directories(
    one: list[str], other: list[str], tmp_path: Path
) -> None:
    names = [job_dir(one), job_dir(other)]
    assert names[0] != names[1]
    for name in names:
        (tmp_path / name).mkdir()  # a file system takes it


def test_a_job_is_found_under_the_name_that_it_had_before(tmp_path: Path) -> None:
    run = tmp_path / "data.root=a_x"
    run.mkdir()
    (run / "status.json").write_text(json.dumps({"overrides": ["data.root=a/x", "name=n"]}))
    assert job_dir(["data.root=a/x"], str(tmp_path)) == run.name
    assert job_dir(["data.root=a_x"], str(tmp_path)) != run.name  # that is another job's
    assert job_dir(["data.root=a/x"], str(tmp_path / "other")) != run.name


def test_a_short_name_has_the_last_part_of_each_key(tmp_path: Path) -> None:
    overrides = ["model.depth=20", "optimizer.lr=0.1"]
    assert job_dir(overrides, None, "short") == "depth=20,lr=0.1"
    both = ["data.source.name=a", "model.name=b"]
    assert job_dir(both, None, "short") == job_dir(both)  # the short one would not tell them apart
    for name in ("depth=20,lr=0.1", "model.depth=20,optimizer.lr=0.1"):  # what is there is kept
        run = tmp_path / name / name
        run.mkdir(parents=True)
        (run / "status.json").write_text(json.dumps({"overrides": overrides}))
        for style in ("long", "short"):
            assert job_dir(overrides, str(run.parent), style) == name


def test_two_jobs_of_one_short_name_are_refused() -> None:
    config = OmegaConf.create({"sweep_dir": None, "hydra": {"sweeper": {"dirname": "short"}}})
    with pytest.raises(ValueError, match=r"two jobs would be called lr=1; use long"):
        find_jobs(config, [["a.lr=1"], ["b.lr=1"]])
