"""The GPU campaign runs its parts, writes what it finds, and goes on where it was."""

import json
from pathlib import Path

import pytest

from benchmarks.gpu_campaign import PARTS, Campaign, main


def test_without_time_nothing_is_started(tmp_path: Path) -> None:
    main([str(tmp_path / "out"), "--minutes", "0", "--tiny"])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_wrong_name_is_refused_with_those_that_there_are(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--only", "nope"])
    assert "--only nope: there are sanity, cifar10_speed," in capsys.readouterr().err


def test_every_part_composes(composed) -> None:
    for part in PARTS:
        composed(*(item for item in part.overrides if not item.startswith("sweep=")))


def test_a_finished_part_is_not_run_again(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "summary.json").write_text(
        json.dumps({part.name: {"done": True} for part in PARTS})
    )

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Campaign, "part", never)
    main([str(tmp_path), "--only", *(part.name for part in PARTS)])


@pytest.mark.slow
def test_a_part_is_trained_and_its_records_are_kept(tmp_path: Path) -> None:
    main([
        str(tmp_path / "out"), "--tiny", "--only", "he2015_resnet20", "--records",
        str(tmp_path / "records"),
    ])  # fmt: skip
    found = json.loads((tmp_path / "out/summary.json").read_text())["he2015_resnet20"]
    assert found["done"]
    assert [job["state"] for job in found["jobs"].values()] == ["done", "done"]
    for run in (tmp_path / "records/he2015_resnet20").iterdir():
        assert {path.name for path in run.iterdir()} == {
            "config.yaml", "status.json", "metrics.csv"
        }  # fmt: skip
