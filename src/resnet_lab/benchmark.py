"""Measure how much of this machine a training run uses.

    python -m resnet_lab.benchmark [data=cifar10 model=resnet20 ...] [--json FILE] [--repeats 5]
    python -m resnet_lab.benchmark --full         # whole jobs too: a quarter of an hour
    python -m resnet_lab.benchmark --rival CLONE  # beside the default job of the other template

Both sides of each ratio are measured in turn, as often as the column n says, and the median is
shown; where n is 1, the one figure. Images of the data set are used where they are on this machine,
random ones of that shape elsewhere.
"""

import argparse
import json
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from resnet_lab.core.config import CONF
from resnet_lab.core.console import errors_in_one_line, quiet_lightning, set_up_logging
from resnet_lab.core.overhead import freeze_gc, reduced_overhead
from resnet_lab.core.provenance import commit, now, versions
from resnet_lab.sweeps.resolvers import register_resolvers

DEFAULTS = ("data=cifar10", "model=resnet20")
SMALL = ("data=mnist", "model=small_resnet", "data.batch_size=128")
CONTENDED = ("data=digits", "trainer=cpu", "callbacks.progress=null", "callbacks.summary=null")
COMPILED = (
    "data=cifar10", "model=resnet18", "data.batch_size=512", "trainer.precision=bf16-mixed",
    "task.compile=true",
)  # fmt: skip


ROUNDS = 4  # of the variants of a network


def benchmark(overrides: Sequence[str] = (), repeats: int = 5) -> dict[str, Any]:
    """Measure a configuration.

    Args:
        overrides: as for training, after `data=cifar10 model=resnet20`.
        repeats: how often each pair is measured.

    Returns:
        One entry a question, each with both sides and their ratio; `machine` says what on.
    """
    import torch

    from resnet_lab.core.device import describe
    from resnet_lab.measuring.loader import against_torchvision
    from resnet_lab.measuring.processes import start_up
    from resnet_lab.measuring.subject import Subject

    freeze_gc()
    quiet_lightning()
    torch.manual_seed(0)
    cfg, stand_in = composed([*DEFAULTS, *overrides])
    subject = Subject(cfg)
    subject.settle_threads()
    loops = {
        f"trainer.precision={kind} task.channels_last={str(layout).lower()}": subject.bare(
            precision=kind, channels_last=layout
        )
        for kind in ("32-true", "bf16-mixed")
        for layout in (False, True)
    }
    if subject.device.type == "cuda":  # on a CPU, compiling takes minutes and gains little
        for mode in (True, "reduce-overhead"):
            name = f"trainer.precision={cfg.trainer.precision} task.compile={str(mode).lower()}"
            loops[name] = subject.bare(compile=mode)
    steps = subject.steps()
    for loop in loops.values():
        loop.rate(2)  # to warm up
    rounds = [[loop.rate(steps, warm_up=0) for loop in loops.values()] for _ in range(ROUNDS)]
    variants = {
        name: cfg.data.batch_size * statistics.median(rates)
        for name, rates in zip(loops, zip(*rounds, strict=True), strict=True)
    }
    return {
        "command": f"python -m resnet_lab.benchmark {shlex.join(sys.argv[1:])}".strip(),
        "measured": now(),
        "configuration": [*DEFAULTS, *overrides],
        "images": "random, of the shape of the data set" if stand_in else subject.data.name,
        "trainer": subject.against_bare(repeats),
        "step_overhead": subject.step_overhead(repeats),
        "loader": against_torchvision(subject.data, repeats),
        "start": start_up(max(1, repeats // 3)),
        "variants": variants,
        "n_variants": ROUNDS,
        "recommended": max(variants, key=lambda name: variants[name]),
        "machine": {
            "device": describe(cfg.trainer.accelerator),
            "precision": cfg.trainer.precision,
            "versions": versions(),
            "commit": commit(),
        },
    }


def whole_jobs(overrides: Sequence[str], repeats: int) -> dict[str, Any]:
    """Measure what takes minutes: other networks, sweeps, growth, peak memory, a busy machine.

    Args:
        overrides: as for training; of a CIFAR ResNet.
        repeats: how often each pair is measured.
    """
    import torch

    from resnet_lab.measuring import growth
    from resnet_lab.measuring.contention import contention
    from resnet_lab.measuring.processes import peak_memory, sweep_cost
    from resnet_lab.measuring.subject import Subject

    cfg, _ = composed([*DEFAULTS, *overrides])
    found: dict[str, Any] = {"small": Subject(composed(SMALL)[0]).against_bare(repeats)}
    if torch.cuda.is_available():
        found["compiled"] = Subject(composed(COMPILED)[0]).against_bare(repeats)
    return found | {
        "sweep": sweep_cost(),
        "images": growth.with_images(cfg, (1_000, 10_000, 60_000), repeats),
        "depth": growth.with_depth(cfg, (20, 32, 56, 110), repeats),
        "memory": peak_memory(str(cfg.trainer.precision)),
        "contention": contention(composed(CONTENDED)[0], repeats),
    }


def composed(overrides: Sequence[str]) -> tuple[DictConfig, bool]:
    """Compose, with random images where the data set is not on this machine.

    Returns:
        The resolved configuration, and whether the images are random.
    """
    from resnet_lab.runs.run import Run

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", list(overrides))
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(resolved, DictConfig)
    if not resolved.data.source._target_.endswith("TorchvisionSource"):  # nothing to download
        return resolved, False
    resolved.data.source.download = False
    data = Run(Path(), resolved, {}, trust=True).build_data()
    try:
        data.prepare_data()
    except ValueError:
        facts = resolved.data
        facts.source = {
            "_target_": "resnet_lab.data.sources.base.RandomImages",
            "num_classes": facts.num_classes,
            "size": facts.image_size,
            "channels": facts.channels,
            "count": 30_000,
        }
        facts.val_size = 0.1
        return resolved, True
    return resolved, False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m resnet_lab.benchmark", description=__doc__)
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
        from resnet_lab.measuring.rival import against_rival, script_of
        from resnet_lab.measuring.table import show

        if options.rival:
            script_of(options.rival)  # says at once that it is not there
        result = benchmark(options.overrides, options.repeats)
        if options.rival:
            data_dir = composed(["data=mnist"])[0].data_dir
            result["rival"] = against_rival(options.rival, data_dir, options.repeats)
        if options.full:
            result["jobs"] = whole_jobs(options.overrides, options.repeats)
        if options.json:
            Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
        rich.reconfigure()  # the progress bars drew to a terminal that nobody saw
        show(result)


if __name__ == "__main__":
    main()
