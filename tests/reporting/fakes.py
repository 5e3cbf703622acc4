"""Run directories as a sweep leaves them, without the training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def fake_job(
    sweep: Path,
    *overrides: str,
    value: float | None = 0.9,
    test: float | None = 0.88,
    state: str = "done",
    monitor: str = "val/acc",
    curve: Sequence[float] = (),
    config: str = "",
    **status: Any,
) -> Path:
    """Write the directory of one job.

    Args:
        sweep: its parent.
        *overrides: as they were typed, the seed included.
        value: best of the monitor; None: the job has none.
        test: accuracy on the test split; None: it was not tested.
        state: of status.json.
        monitor: its name.
        curve: the monitor after each epoch; none: no metrics.csv.
        config: what config.yaml holds besides the seed.
        **status: further entries of status.json.
    """
    directory = sweep / ",".join(overrides).replace("/", "_")
    (directory / "checkpoints").mkdir(parents=True)
    seed = next((item[5:] for item in overrides if item.startswith("seed=")), "0")
    (directory / "config.yaml").write_text(f"seed: {seed}\nmonitor: {monitor}\n{config}")
    (directory / "checkpoints/best.ckpt").write_bytes(b"x" * 1000)
    said: dict[str, Any] = {"state": state, "overrides": list(overrides), "seconds": 60.0}
    if value is not None:
        said["best"] = {"monitor": monitor, "value": value, "epoch": 1, "metrics": {}}
    if test is not None and state == "done":
        said["test"] = {"loss": 0.5, "acc": test, "acc_low": 0.8, "acc_high": 0.95, "images": 100}
    (directory / "status.json").write_text(json.dumps({**said, **status}))
    if curve:
        rows = [f"{epoch},{10 * epoch},{each}" for epoch, each in enumerate(curve)]
        (directory / "metrics.csv").write_text("\n".join([f"epoch,step,{monitor}", *rows, ""]))
    return directory


def fake_sweep(sweep: Path, values: Mapping[Sequence[str], Sequence[float]], **job: Any) -> Path:
    """Write a job for each seed of each group, as in `{("optimizer.lr=0.1",): [0.9, 0.8]}`."""
    for overrides, seeds in values.items():
        for seed, value in enumerate(seeds):
            fake_job(sweep, *overrides, f"seed={seed}", value=value, **job)
    return sweep
