"""Measure how the work around the jobs of a sweep grows with their number.

    python -m benchmarks.many_jobs [--jobs 10,100,1000] [--json FILE]

One tiny job is trained; the others are copies of its run directory with other seeds. Then real
commands check, resume, show and report a sweep of them, each in a process of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_lab.core.console import errors_in_one_line
from resnet_lab.core.files import write_json
from resnet_lab.sweeps.job import job_dir
from resnet_lab.sweeps.record import load, new_entry, take_over

TINY = (
    "model.depth=8", "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1",
    "trainer.limit_train_batches=3", "callbacks.progress=null", "callbacks.summary=null",
)  # fmt: skip


def measure(count: int, folder: Path) -> dict[str, dict[str, float]]:
    """Measure each kind of work around a sweep of so many jobs, in an empty folder.

    Returns:
        By kind: wall-clock `seconds`, `cpu` seconds, and the peak of memory in `mb`.
    """
    sweep = folder / "sweep"
    train = ("-m", "resnet_lab.train", "-m", *TINY, f"sweep_dir={sweep}")
    run(folder, *train, "seed=0")
    copy_jobs(sweep, count)
    every = f"seed=range({count})"
    return {
        "check": run(folder, *train[:-1], every, "preflight=true"),
        "resume": run(folder, *train, every),
        "status": run(folder, "-m", "resnet_lab.sweep", "status", str(sweep)),
        "report": run(folder, "-m", "resnet_lab.report", str(sweep), "--no-plots"),
        "report with plots": run(folder, "-m", "resnet_lab.report", str(sweep)),
        "a job": a_job(sweep, run(folder, *train, f"seed=range({count},{count + 1})")),
    }


def copy_jobs(sweep: Path, count: int) -> None:
    """Make a sweep of so many finished jobs out of one; checkpoints are hard links."""
    record = load(sweep)
    (entry,) = record["jobs"]
    first = sweep / entry["directory"]
    status = json.loads((first / "status.json").read_text())
    config = (first / "config.yaml").read_text()
    for seed in range(1, count):
        overrides = [f"seed={seed}" if o == "seed=0" else o for o in entry["overrides"]]
        place = sweep / job_dir(overrides, str(sweep))
        shutil.copytree(first, place, copy_function=_link_checkpoints)
        (place / "config.yaml").write_text(config.replace("\nseed: 0\n", f"\nseed: {seed}\n"))
        write_json(place / "status.json", {**status, "overrides": overrides})
        record["jobs"].append(new_entry(place.name, overrides))
        take_over(record["jobs"][-1], status)
    write_json(sweep / "sweep.json", record)


def _link_checkpoints(source: str, target: str) -> None:
    if source.endswith(".ckpt"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def run(folder: Path, *words: str) -> dict[str, float]:
    """Run a command, and return its seconds and its memory."""
    began = time.perf_counter()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, *words], stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it was not Popen that waited
    if process.returncode:
        raise ValueError((folder / "output").read_text().strip().splitlines()[-1])
    return {
        "seconds": time.perf_counter() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "mb": used.ru_maxrss / 1024,
    }


def a_job(sweep: Path, used: dict[str, float]) -> dict[str, float]:
    """Return what a sweep of one further job took, beside its training."""
    status = json.loads((sweep / load(sweep)["jobs"][-1]["directory"] / "status.json").read_text())
    return {**used, "seconds": used["seconds"] - float(status["seconds"])}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_jobs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--jobs", default="10,100,1000", help="numbers of jobs")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    with errors_in_one_line():
        for count in map(int, options.jobs.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                found[str(count)] = measure(count, Path(folder))
            for name, used in found[str(count)].items():
                told = ", ".join(f"{value:9.3f} {unit}" for unit, value in used.items())
                print(f"{count:6} jobs  {name:18}  {told}", flush=True)
    if options.json:
        write_json(Path(options.json), found)


if __name__ == "__main__":
    main()
