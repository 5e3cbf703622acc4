"""The reproducibility checklist of a sweep."""

import json
from pathlib import Path

from resnet_lab.reporting.checklist import checklist
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import read_results
from tests.reporting.fakes import fake_job

CONFIG = "data:\n  name: digits\n  mean: null\noptimizer:\n  lr: {}\n"


def told(directory: Path) -> list[str]:
    results = read_results([directory])
    return checklist(results, rank(results)).splitlines()


def test_the_checklist_says_what_the_records_hold(tmp_path: Path) -> None:
    code = {"packages.txt": "1234", "code.diff": "5678"}
    record = {"commit": "abc+", "code": code, "device": "a | b", "versions": {"torch": "2.14"}}
    record["data_sha256"] = {"set.npz": "9abc"}
    for seed in range(2):
        lr = (0.1, 0.2)[seed]
        fake_job(tmp_path, f"optimizer.lr={lr}", f"seed={seed}", config=CONFIG.format(lr), **record)
    fake_job(
        tmp_path, "optimizer.lr=3", "seed=0", state="failed", value=None, config=CONFIG.format(3)
    )
    search = {"sampler": "random", "seed": 3, "pruner": "null", "space": {"lr": "from 1 to 2"}}
    (tmp_path / "sweep.json").write_text(
        json.dumps({"command": "train -m `a`", "search": search, "jobs": []})
    )
    lines = told(tmp_path)
    assert "- [x] **command**: `` train -m `a` ``" in lines
    assert "- [x] **commit**: abc+" in lines
    differed = "what differed from the commit, where that is marked by +"
    assert f"- [x] **{differed}**: `code.diff` of each run, sha256 5678" in lines
    assert "- [x] **all packages**: `packages.txt` of each run, sha256 1234" in lines
    assert "- [x] **checksums (SHA-256) of the data**: set.npz: 9abc" in lines
    assert "- [x] **versions**: torch 2.14" in lines
    assert "- [x] **hardware**: a \\| b" in lines
    assert "- [x] **data set, split and normalisation**: `data.name=digits`" in lines
    assert "- [x] **model and training**: `optimizer.lr=0.1 or 0.2 or 3`" in lines
    assert "- [x] **space**: lr from 1 to 2" in lines
    assert "- [x] **seeds**: 0, 1" in lines
    assert "- [x] **number of jobs**: 3: 2 done, 1 failed" in lines
    assert (
        "- [x] **time of training, of all jobs**: 2 min 0 s in 2 done, 1 min 0 s in 1 failed"
        in lines
    )
    assert any(line.startswith("- [x] **use of the test split**: 2 jobs tested") for line in lines)


def test_the_checklist_leaves_open_what_is_not_recorded(tmp_path: Path) -> None:
    fake_job(tmp_path, "seed=0", state="failed", value=None, versions="none")
    lines = told(tmp_path)
    checksums = "checksums (SHA-256) of the data"
    for what in ("command", "commit", "versions", "augmentation", "hardware", checksums):
        assert f"- [ ] **{what}**" in lines
