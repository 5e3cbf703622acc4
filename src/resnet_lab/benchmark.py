"""Measure how much of this machine a training run uses, and which precision is fastest on it.

    python -m resnet_lab.benchmark [data=cifar10 model=resnet20 ...] [--json FILE] [--repeats 5]

Training and the bare loop that it is compared with are measured in turn, as often as the column n
says, and the median is shown. Random images are used where the data set is not on this machine.
"""

import json
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import rich
from omegaconf import DictConfig
from rich.table import Column, Table
from rich.text import Text

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.configuration.config import check_integer
from resnet_lab.core.console import console, quiet_lightning, running_command, say
from resnet_lab.core.overhead import freeze_gc
from resnet_lab.core.provenance import commit, now, versions
from resnet_lab.core.text import printable
from resnet_lab.sweeps import resolvers

DEFAULTS = ("data=cifar10", "model=resnet20")
ROUNDS = 4  # of the variants of a network

Row = tuple[str, str, str, str, str]  # question, n, the other, ours, ratio


def benchmark(overrides: Sequence[str] = (), repeats: int = 5) -> dict[str, Any]:
    """Measure a configuration: that of training, but for `data=cifar10 model=resnet20` before it.

    Returns:
        `trainer`, see `Subject.against_bare`; images/s of the `variants`, and the fastest of them,
        `recommended`; `machine` and `measured` say where and when.
    """
    import torch

    from resnet_lab.core.device import describe
    from resnet_lab.measuring.subject import Subject

    freeze_gc()
    quiet_lightning()
    torch.manual_seed(0)
    cfg, random = composed([*DEFAULTS, *overrides])
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
        "command": shlex.join(sys.argv),
        "measured": now(),
        "configuration": [*DEFAULTS, *overrides],
        "images": "random, of the shape of the data set" if random else subject.data.name,
        "trainer": subject.against_bare(repeats),
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


def composed(overrides: Sequence[str]) -> tuple[DictConfig, bool]:
    """Compose and resolve; return whether the images are random: the data set is not here."""
    from resnet_lab.measuring.random_images import use_random_images
    from resnet_lab.runs.trained.run import Run

    config = resolvers.composed(overrides)
    if not config.data.source._target_.endswith("TorchvisionSource"):  # nothing to download
        return config, False
    config.data.source.download = False
    try:
        Run(Path(), config, {}, trust=True).build_data().prepare_data()
    except ValueError:
        use_random_images(config, 30_000)
        return config, True
    return config, False


def trained(question: str, found: dict[str, float]) -> Row:
    """Return the row of a comparison by `Subject.against_bare`."""
    bare, ours, ratio = f"{found['bare']:,.0f}", f"{found['ours']:,.0f}", f"{found['ratio']:.3f}"
    return question, str(found["n"]), bare, ours, ratio


def show(result: dict[str, Any], more: Iterable[Row] = ()) -> None:
    """Print what was measured, the fastest variant first."""
    trainer = result["trainer"]
    between, n = f"{trainer['between_epochs']:.2f}", str(trainer["n_between"])
    title = Text(printable(" ".join(result["configuration"])))  # no markup: [...] is a list
    right = (Column(name, justify="right") for name in ("n", "the other", "ours", "ratio"))
    table = Table("question", *right, title=title)
    table.add_row(*trained("training, images/s, against a bare loop over one batch", trainer))
    table.add_row("seconds between epochs: records, checkpoints", n, "", between, "")
    for row in more:
        table.add_row(*row)
    rich.reconfigure()  # the progress bars drew to a terminal that nobody saw
    console().print(table)
    for name, rate in sorted(result["variants"].items(), key=lambda item: -item[1]):
        say(f"{rate:>10,.0f} images/s  {name}")
    say(f"(medians of {result['n_variants']})")
    say(f"images: {result['images']}; {result['machine']['device']}")
    say(f"recommended: {result['recommended']}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("benchmark", __doc__)
    parser.add_argument("overrides", nargs="*", help="as for training, such as model=resnet18")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--repeats", type=int, default=5, help="of the comparison (default 5)")
    options = parser.parse_args(arguments)
    with running_command():
        check_integer("--repeats", options.repeats)
        result = benchmark(options.overrides, options.repeats)
        if options.json:
            Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
        show(result)


if __name__ == "__main__":
    main()
