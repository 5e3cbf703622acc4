"""Measure what needs a GPU, in the order of what is worth most, for as long as there is time.

    python -m benchmarks.gpu_campaign OUT [--minutes 9.5] [--only NAME ...] [--records DIR]
    python -m benchmarks.gpu_campaign OUT --tiny    # a few batches of everything, on the CPU

Run it again with the same OUT and it goes on where it was: what is done is skipped, and what was
interrupted resumes. `OUT/summary.json` is written anew after every part; with `--records`, the
records of each finished run are copied there, one folder a part; `docs/make_results.py add` takes
them into the table of results.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

CIFAR = ("data=cifar10", "model=resnet20", "trainer.max_epochs=2", "callbacks.progress=null")
FILES = ("config.yaml", "status.json", "metrics.csv")
TINY = (
    "data=digits", "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "trainer.limit_train_batches=2", "trainer.limit_test_batches=1", "data.batch_size=32",
)  # fmt: skip


class Part(NamedTuple):
    """Jobs that are measured together."""

    name: str
    overrides: tuple[str, ...]
    seeds: int = 1
    at_once: int = 1  # jobs that share the GPU; where time is the result, one


SANITY = {
    "default": (),
    "compiled": ("task.compile=true",),
    "cuda_graphs": ("task.compile=reduce-overhead",),
    "ema": ("callbacks=ema",),
    "fp32": ("trainer.precision=32-true",),
    "deterministic": ("trainer.deterministic=true",),
}

# Small networks wait for launches and not for the device: several at once cost little more.
PARTS = (
    Part("cifar10_speed", ("experiment=cifar10_speed",), seeds=10),
    Part("cifar10_speed_compiled", ("experiment=cifar10_speed", "task.compile=true"), seeds=10),
    Part("he2015_resnet20", ("experiment=he2015_resnet20",), seeds=3, at_once=4),
    Part("he2015_resnet56", ("experiment=he2015_resnet56",), seeds=3, at_once=4),
    Part("he2015_resnet32", ("experiment=he2015_resnet32",), at_once=4),
    Part("he2015_resnet44", ("experiment=he2015_resnet44",), at_once=4),
    Part("he2015_resnet110", ("experiment=he2015_resnet110",), at_once=4),
    Part("resnet18_cifar10_fast", ("experiment=resnet18_cifar10_fast",), seeds=3),
    Part("resnet18_cifar10", ("experiment=resnet18_cifar10",)),
    Part("preact164", ("experiment=preact164",)),
    Part("wrn28_10", ("experiment=wrn28_10",)),
    Part("degradation", ("sweep=degradation", "data=cifar10", "trainer.max_epochs=182"), at_once=4),
)


class Campaign:
    """What is measured, and until when.

    Args:
        out: directory of all runs.
        minutes: after which what runs is stopped and saved.
        tiny: only a few batches, on the CPU.
    """

    def __init__(self, out: Path, minutes: float, tiny: bool) -> None:
        self.out = out.resolve()
        self.end = time.monotonic() + 60 * minutes
        self.tiny = tiny
        self.summary = out / "summary.json"
        known = json.loads(self.summary.read_text()) if self.summary.exists() else {}
        self.found: dict[str, Any] = known

    def write(self, name: str, value: Any) -> None:
        """Add a result to `summary.json`."""
        self.found[name] = value
        part = self.summary.with_suffix(".part")
        part.write_text(json.dumps(self.found, indent=2) + "\n")
        part.replace(self.summary)
        print(f"{name}: {json.dumps(value)[:300]}", flush=True)

    def run(self, *command: str, stop_when: Any = None) -> tuple[int, str]:
        """Run a module of the package; stop it as Ctrl-C does at the end of the time.

        Args:
            *command: module and arguments.
            stop_when: called again and again; True stops the command.

        Returns:
            Its exit code, and the end of what it printed.
        """
        log = self.out / "output.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=output, stderr=subprocess.STDOUT
            )
            while process.poll() is None:
                if time.monotonic() > self.end or (stop_when is not None and stop_when()):
                    process.send_signal(signal.SIGINT)
                    process.wait()
                    break
                time.sleep(0.05)
        return process.returncode, log.read_text(errors="replace")[-600:]

    def train(self, *overrides: str, **options: Any) -> tuple[int, str]:
        """Train; the overrides of `--tiny` come last."""
        return self.run("resnet_lab.train", *overrides, *TINY * self.tiny, **options)

    def sanity(self) -> None:
        """Try each way to compute, the evaluation, an exact resume, and the benchmark."""
        for name, overrides in SANITY.items():
            if f"sanity/{name}" in self.found or time.monotonic() > self.end:
                continue
            place = self.out / "sanity" / name
            code, printed = self.train(*CIFAR, *overrides, f"run_dir={place}")
            if code == 0:
                self.write(f"sanity/{name}", self.shown(place) | self.evaluated(place))
            elif time.monotonic() < self.end:
                self.write(f"sanity/{name}", {"failed": printed})
        if "sanity/resume" not in self.found and time.monotonic() < self.end:
            self.resume()
        if "benchmark" not in self.found and time.monotonic() < self.end:
            file = self.out / "benchmark.json"
            small = ("data=digits", "model.depth=8", "--repeats", "1") if self.tiny else CIFAR[:2]
            code, printed = self.run("resnet_lab.benchmark", *small, "--json", str(file))
            found = json.loads(file.read_text()) if code == 0 else {"failed": printed}
            self.write("benchmark", found)

    def resume(self) -> None:
        """Compare the weights of an interrupted and resumed run with those of a whole one."""
        same = (*CIFAR, "trainer.deterministic=true")
        whole, parts = self.out / "sanity/whole", self.out / "sanity/parts"
        for place in (whole, parts):
            shutil.rmtree(place, ignore_errors=True)
        self.train(*same, f"run_dir={whole}")
        status = parts / "status.json"

        def has_begun() -> bool:
            return status.exists() and json.loads(status.read_text()).get("epochs", 0) >= 1

        self.train(*same, f"run_dir={parts}", stop_when=has_begun)
        interrupted = json.loads(status.read_text())["state"] if status.exists() else "not begun"
        self.run("resnet_lab.train", "--resume", str(parts))
        if time.monotonic() > self.end:
            return
        states = [
            torch.load(place / "checkpoints/last.ckpt", weights_only=True, map_location="cpu")
            for place in (whole, parts)
        ]
        first, second = (state["state_dict"] for state in states)
        equal = all(torch.equal(first[key], second[key]) for key in first)
        self.write("sanity/resume", {"was": interrupted, "equal_to_the_last_bit": equal})

    def evaluated(self, place: Path) -> dict[str, Any]:
        """Return the accuracy that `evaluate` finds."""
        found = subprocess.run(
            [sys.executable, "-m", "resnet_lab.evaluate", str(place), "--json"],
            capture_output=True, text=True,
        )  # fmt: skip
        return {"evaluated": json.loads(found.stdout)["acc"] if found.returncode == 0 else None}

    def shown(self, place: Path) -> dict[str, Any]:
        """Return what is told of a run."""
        status = json.loads((place / "status.json").read_text())
        names = ("state", "seconds", "images_per_second", "device", "precision", "error")
        found = {name: status[name] for name in names if name in status}
        return found | {"acc": status.get("test", {}).get("acc")}

    def part(self, part: Part, records: Path | None) -> None:
        """Train the jobs of a part that are not done yet."""
        place = self.out / part.name
        seeds = min(part.seeds, 2) if self.tiny else part.seeds
        pool = ("hydra/launcher=local_pool", f"hydra.launcher.jobs_per_gpu={part.at_once}")
        code, printed = self.train(
            "-m", *part.overrides, f"seed=range({seeds})", f"sweep_dir={place}",
            "callbacks.progress=null", *(pool if part.at_once > 1 and not self.tiny else ()),
        )  # fmt: skip
        runs = sorted(path.parent for path in place.glob("*/status.json"))
        jobs = {run.name: self.shown(run) for run in runs}
        done = code == 0 and all(job["state"] == "done" for job in jobs.values())
        failed = {} if done or time.monotonic() > self.end else {"failed": printed}
        self.write(part.name, {"done": done, "jobs": jobs, **failed})
        for run in runs:
            if records is not None and jobs[run.name]["state"] == "done":
                folder = records / part.name / run.name
                folder.mkdir(parents=True, exist_ok=True)
                for name in FILES:
                    shutil.copyfile(run / name, folder / name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_campaign", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts by name, and sanity")
    parser.add_argument("--records", type=Path, help="directory for the records of finished runs")
    parser.add_argument("--tiny", action="store_true", help="a few batches, on the CPU")
    options = parser.parse_args(arguments)
    names = ["sanity", *(part.name for part in PARTS)]
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"--only {' '.join(unknown)}: there are {', '.join(names)}")
    options.out.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(options.out, options.minutes, options.tiny)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 4)))
    if not options.only or "sanity" in options.only:
        campaign.sanity()
    for part in PARTS:
        chosen = not options.only or part.name in options.only
        over = campaign.found.get(part.name, {}).get("done")
        if chosen and not over and time.monotonic() < campaign.end:
            campaign.part(part, options.records)


if __name__ == "__main__":
    main()
