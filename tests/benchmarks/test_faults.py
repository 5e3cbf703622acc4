"""The fault campaign sees what it is there to see."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.faults.commands import judge
from benchmarks.faults.forked import Ended
from benchmarks.faults.kills import differences
from tests.helpers import REPOSITORY


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Files of a run, as far as they are compared."""
    run = tmp_path / "undisturbed"
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": {"fc.bias": torch.zeros(2)}}, run / "checkpoints/last.ckpt")
    (run / "status.json").write_text(json.dumps({"state": "done", "epochs": 2}))
    (run / "metrics.csv").write_text("step,lr,val/acc\n0,0.1,\n1,0.2,0.5\n")
    return run


@pytest.mark.parametrize(
    ("file", "text", "kind"),
    [
        ("metrics.csv", "step,lr,val/acc\n0,0.1,\n", "lost"),
        ("metrics.csv", "step,lr,val/acc\n0,0.1,\n1,0.2,0.5\n1,0.2,0.5\n", "duplicated"),
        ("metrics.csv", "step,lr,val/acc\n0,0.1,\n1,0.2,0.6\n", "wrong"),
        ("status.json", '{"state": "running", "epochs": 2}', "wrong"),
        (".config.yaml.1.part", "", "wrong"),
    ],
)
def test_a_damaged_record_is_seen(record: Path, file: str, text: str, kind: str) -> None:
    run = record.with_name("disturbed")
    shutil.copytree(record, run)
    assert differences(run, record) == {}
    (run / file).write_text(text)
    assert kind in differences(run, record)


def test_other_weights_are_seen(record: Path) -> None:
    run = record.with_name("disturbed")
    shutil.copytree(record, run)
    torch.save({"state_dict": {"fc.bias": torch.ones(2)}}, run / "checkpoints/last.ckpt")
    assert "wrong" in differences(run, record)


@pytest.mark.parametrize(
    ("code", "errors", "outcome"),
    [
        (0, "", "success"),
        (1, "error: seed=x: must be an integer >= 0\n", "refused"),
        (1, "error: val/loss is nan in epoch 1: the training diverged; lower a\n", "diverged"),
        (1, "error: seed=x: must be\nan integer >= 0\n", "unclear"),
        (1, "error: something is wrong\n", "unclear"),
        (1, "error: seed: TypeError: cannot convert\n", "unclear"),
        (1, "error: seed=\x1b[31m\n", "unclear"),
        (70, "Traceback (most recent call last):\n", "unclear"),
        (-6, "", "unclear"),
    ],
)
def test_a_refusal_is_one_clear_line(code: int, errors: str, outcome: str, tmp_path: Path) -> None:
    assert judge(Ended(code, 0.0, "", errors), ["seed=x"], tmp_path) == outcome


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_a_small_campaign_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--kills", "8", "--lines", "20"]
    ended = subprocess.run(
        [*command, "--json", str(tmp_path / "counts.json")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["random command lines"]["tried"] == 20
    assert counts["a run, before each change to a file"]["kills"] >= 4
