"""Measure the speed of this template against other code.

    python -m benchmarks.speed [data=cifar10 model=resnet20 ...] [--json FILE] [--repeats 5]
    python -m benchmarks.speed --full         # whole jobs too: a quarter of an hour
    python -m benchmarks.speed --rival CLONE  # and the default job of another template

Both sides of each ratio are measured in turn, as often as the column n says, and the median is
shown; where n is 1, the one figure.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_lab.benchmark import DEFAULTS, benchmark, composed, show
from resnet_lab.core.console import errors_in_one_line, set_up_logging
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.sweeps.resolvers import register_resolvers

SMALL = ("data=mnist", "model=small_resnet", "data.batch_size=128")
CONTENDED = ("data=digits", "trainer=cpu", "callbacks.progress=null", "callbacks.summary=null")
COMPILED = (
    "data=cifar10", "model=resnet18", "data.batch_size=512", "trainer.precision=bf16-mixed",
    "task.compile=true",
)  # fmt: skip


def details(overrides: Sequence[str], repeats: int) -> dict[str, Any]:
    """Measure what a step, a batch and a start cost, with overrides as for training."""
    from benchmarks.speed.commands import start_up
    from benchmarks.speed.loader import against_torchvision
    from benchmarks.speed.loops import step_overhead
    from resnet_lab.measuring.subject import Subject

    subject = Subject(composed([*DEFAULTS, *overrides])[0])
    subject.settle_threads()
    return {
        "step_overhead": step_overhead(subject, repeats),
        "loader": against_torchvision(subject.data, repeats),
        "start": start_up(max(1, repeats // 3)),
    }


def whole_jobs(overrides: Sequence[str], repeats: int) -> dict[str, Any]:
    """Measure what takes minutes: other networks, sweeps, growth, peak memory, a busy machine.

    The overrides are of a CIFAR ResNet.
    """
    import torch

    from benchmarks.speed import loops
    from benchmarks.speed.commands import peak_memory, sweep_cost
    from benchmarks.speed.contention import contention, pool_cost
    from resnet_lab.measuring.subject import Subject

    cfg, _ = composed([*DEFAULTS, *overrides])
    found = {"small": Subject(composed(SMALL)[0]).against_bare(repeats)}
    if torch.cuda.is_available():
        found["compiled"] = Subject(composed(COMPILED)[0]).against_bare(repeats)
    return found | {
        "sweep": sweep_cost(),
        "pool": pool_cost(repeats=repeats),
        "images": loops.growth_with_images(cfg, (1_000, 10_000, 60_000), repeats),
        "depth": loops.growth_with_depth(cfg, (20, 32, 56, 110), repeats),
        "memory": peak_memory(str(cfg.trainer.precision)),
        **contention(composed(CONTENDED)[0], repeats),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("overrides", nargs="*", help="as for training, such as model=resnet18")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--repeats", type=int, default=5, help="of each pair (default 5)")
    parser.add_argument("--full", action="store_true", help="sweeps, growth and memory too")
    parser.add_argument("--rival", metavar="CLONE", help="of ashleve/lightning-hydra-template")
    options = parser.parse_args(arguments)
    register_resolvers()
    set_up_logging()
    with reduced_overhead(), errors_in_one_line():  # as in training
        if options.repeats < 1:
            raise ValueError(f"--repeats {options.repeats}: must be an integer >= 1")
        from benchmarks.speed.rival import against_rival, script_of
        from benchmarks.speed.table import rows

        if options.rival:
            script_of(options.rival)  # fails at once if it is not there
        result = benchmark(options.overrides, options.repeats)
        result |= details(options.overrides, options.repeats)
        if options.rival:
            data_dir = composed(["data=mnist"])[0].data_dir
            result["rival"] = against_rival(options.rival, data_dir, options.repeats)
        if options.full:
            result["jobs"] = whole_jobs(options.overrides, options.repeats)
        if options.json:
            Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
        show(result, rows(result))


if __name__ == "__main__":
    main()
