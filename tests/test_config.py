from pathlib import Path

import pytest
from omegaconf import OmegaConf

from resnet_lab.config import flat, job_dir, mode_of, new_dir, one_line


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [("val/loss", "min"), ("train/loss", "min"), ("val/acc", "max"), ("val/acc_top5", "max")],
)
def test_the_direction_follows_from_the_metric(monitor: str, mode: str) -> None:
    assert mode_of(monitor) == mode


def test_new_directories_never_coincide(tmp_path: Path) -> None:
    made = [new_dir(None, str(tmp_path / "runs"), "now") for _ in range(3)]
    assert [Path(path).name for path in made] == ["now", "now-2", "now-3"]
    assert new_dir("given", str(tmp_path), "now") == "given"


def test_a_job_directory_is_one_name_of_bearable_length() -> None:
    assert job_dir(["seed=0", "optimizer.lr=0.1"]) == "optimizer.lr=0.1,seed=0"
    assert job_dir(["callbacks.progress=null", "data_dir=/x", "seed=0"]) == "seed=0"
    assert job_dir([]) == "default"
    assert "/" not in job_dir(["data.root=/a/b"])
    long = [job_dir([f"x={'y' * 300}{end}"]) for end in "ab"]
    assert all(len(name) < 160 for name in long)
    assert long[0] != long[1]


def test_flat_lists_every_leaf() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": "${a.b}", "d": {}}, "e": [1, 2]})
    assert flat(cfg) == {"a.b": 1, "a.c": 1, "a.d": {}, "e": [1, 2]}


def test_unexpected_errors_keep_their_type() -> None:
    assert one_line(KeyError("x")) == "KeyError: 'x'"
    assert one_line(ValueError("two\nlines")) == "two lines"
    assert one_line(RuntimeError()) == "RuntimeError: RuntimeError"
