"""Measure the speed of this template against other code.

    python -m benchmarks.speed [data=cifar10 model=resnet20 ...] [--json FILE] [--repeats 5]
    python -m benchmarks.speed --full         # whole jobs too: about an hour
    python -m benchmarks.speed --full --only contention pool
    python -m benchmarks.speed --rival CLONE  # and the default job of another template

Both sides of each ratio are measured in turn, as often as the column n says, and the median is
shown; where n is 1, the one figure.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet_lab.benchmark import DEFAULTS, benchmark, composed, show
from resnet_lab.core.console import errors_in_one_line, set_up_logging
from resnet_lab.core.overhead import reduced_overhead
from resnet_lab.sweeps.resolvers import register_resolvers

SMALL = ("data=mnist", "model=small_resnet", "data.batch_size=128")
CONTENDED = ("data=digits", "trainer=cpu", "callbacks.progress=null", "callbacks.summary=null")
PARTS = ("small", "compiled", "sweep", "pool", "images", "depth", "memory", "contention")
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


def whole_jobs(
    overrides: Sequence[str], repeats: int, only: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Measure what takes minutes: other networks, sweeps, growth, peak memory, a busy machine.

    The overrides are of a CIFAR ResNet. Yields the figures of each part that `only` names, of
    `PARTS`, once it is measured.
    """
    import torch

    from benchmarks.speed import loops
    from benchmarks.speed.commands import peak_memory, sweep_cost
    from benchmarks.speed.contention import contention, pool_cost
    from resnet_lab.measuring.subject import Subject

    cfg, _ = composed([*DEFAULTS, *overrides])
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "small": lambda: Subject(composed(SMALL)[0]).against_bare(repeats),
        "compiled": lambda: Subject(composed(COMPILED)[0]).against_bare(repeats),
        "sweep": sweep_cost,
        "pool": lambda: pool_cost(repeats=repeats),
        "images": lambda: loops.growth_with_images(cfg, (1_000, 10_000, 60_000), repeats),
        "depth": lambda: loops.growth_with_depth(cfg, (20, 32, 56, 110), repeats),
        "memory": lambda: peak_memory(str(cfg.trainer.precision)),
        "contention": lambda: contention(composed(CONTENDED)[0], repeats),
    }
    if not torch.cuda.is_available():
        del parts["compiled"]
    for name in (name for name in only if name in parts):
        found = parts[name]()
        yield found if name == "contention" else {name: found}  # it has two keys of its own


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("overrides", nargs="*", help="as for training, such as model=resnet18")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--repeats", type=int, default=5, help="of each pair (default 5)")
    parser.add_argument("--full", action="store_true", help="sweeps, growth and memory too")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of --full")
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
        _write(options.json, result)
        if options.rival:
            data_dir = composed(["data=mnist"])[0].data_dir
            result["rival"] = against_rival(options.rival, data_dir, options.repeats)
        if options.full:
            result["jobs"] = {}
            for found in whole_jobs(options.overrides, options.repeats, options.only):
                result["jobs"] |= found
                _write(options.json, result)  # the parts take minutes each
        _write(options.json, result)
        show(result, rows(result))


def _write(file: str | None, result: dict[str, Any]) -> None:
    if file:
        Path(file).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
