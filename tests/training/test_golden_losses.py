"""Golden losses: a change that should not change numbers shows the same losses as before.

Four small runs in float32 on one thread. Their losses are kept per platform, since the order of a
sum depends on the processor and on the release of torch: on a platform that is known they must be
the same to the last bit, on another one the first steps must agree closely. After a change that is
meant to change numbers, write them anew with

    UPDATE_GOLDEN=1 python -m pytest tests/training/test_golden_losses.py
"""

import csv
import hashlib
import json
import os
import platform
from pathlib import Path

import pytest
import torch

from resnet_lab.train import train

GOLDEN = Path(__file__).parent / "golden"
RUNS: dict[str, list[str]] = {
    "resnet_sgd": ["model=resnet20", "optimizer=sgd", "scheduler=cosine"],
    "preact_mixup_ema": ["model=preact_resnet164", "augment=mixup", "callbacks=ema", "seed=1"],
    "uniform_adamw": [
        "model=uniform_resnet", "model.num_blocks=2", "model.width=8", "model.stem=cifar",
        "optimizer=adamw", "scheduler=onecycle",
    ],
    "wrn_erasing": [
        "model=wrn",
        "model.width=1",
        "augment=[erasing,trivial]",
        "data.batch_size=16",
    ],
}  # fmt: skip
DEPTHS = {"resnet_sgd": 8, "preact_mixup_ema": 11, "wrn_erasing": 10}
CLOSE = 20  # steps within which rounding has not yet grown


def platform_name() -> str:
    """Return what the last bits depend on: the processor, what it can, and the release of torch.

    A virtual machine may hide what its processor can: two of one name then round differently.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [platform.processor()]
    told = (line for line in dict.fromkeys(lines) if line.startswith(("model name", "flags")))
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]
    return f"{platform.machine()}-{digest}-torch{torch.__version__.partition('+')[0]}"


@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_of_before(name: str, composed, tmp_path: Path) -> None:
    depth = [f"model.depth={DEPTHS[name]}"] if name in DEPTHS else []
    cfg = composed(
        *RUNS[name], *depth, "trainer.accelerator=cpu", "trainer.precision=32-true",
        "trainer.max_epochs=5", "trainer.log_every_n_steps=1", "callbacks.progress=null",
        "callbacks.summary=null", "callbacks.tensorboard=null", "logger.tensorboard=null",
    )  # fmt: skip
    train(cfg, tmp_path / "run")
    with (tmp_path / "run/metrics.csv").open(newline="") as file:
        losses = [row["train/loss_step"] for row in csv.DictReader(file) if row["train/loss_step"]]
    assert len(losses) >= 200
    path = GOLDEN / f"{name}.json"
    golden = json.loads(path.read_text()) if path.exists() else {}
    here = platform_name()
    if os.environ.get("UPDATE_GOLDEN"):
        golden[here] = losses
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(json.dumps(golden, indent=0) + "\n")
    if here in golden:
        assert losses == golden[here]
    else:
        first = [float(loss) for loss in next(iter(golden.values()))[:CLOSE]]
        assert [float(loss) for loss in losses[:CLOSE]] == pytest.approx(first, rel=1e-3)
