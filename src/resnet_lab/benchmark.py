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
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from rich.text import Text

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.configuration.config import CONF
from resnet_lab.core.configuration.hydra_versions import VERSION_BASE
from resnet_lab.core.console import console, errors_in_one_line, quiet_lightning, set_up_logging
from resnet_lab.core.overhead import freeze_gc, reduced_overhead
from resnet_lab.core.provenance import commit, now, versions
from resnet_lab.core.text import printable
from resnet_lab.sweeps.resolvers import register_resolvers

DEFAULTS = ("data=cifar10", "model=resnet20")
ROUNDS = 4  # of the variants of a network

Row = tuple[str, str, str, str, str]  # question, n, the other, ours, ratio


def benchmark(overrides: Sequence[str] = (), repeats: int = 5) -> dict[str, Any]:
    """Measure a configuration.

    Args:
        overrides: as for training, after `data=cifar10 model=resnet20`.
        repeats: how often training and the bare loop are compared.

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
    """Compose, with random images where the data set is not on this machine.

    Returns:
        The resolved configuration, and whether the images are random.
    """
    from resnet_lab.measuring.random_images import use_random_images
    from resnet_lab.runs.trained.run import Run

    with initialize_config_dir(str(CONF), **VERSION_BASE):
        cfg = compose("train", list(overrides))
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(resolved, DictConfig)
    if not resolved.data.source._target_.endswith("TorchvisionSource"):  # nothing to download
        return resolved, False
    resolved.data.source.download = False
    try:
        Run(Path(), resolved, {}, trust=True).build_data().prepare_data()
    except ValueError:
        use_random_images(resolved, 30_000)
        return resolved, True
    return resolved, False


def trained(question: str, found: dict[str, float]) -> Row:
    """Return the row of a comparison by `Subject.against_bare`."""
    bare, ours, ratio = f"{found['bare']:,.0f}", f"{found['ours']:,.0f}", f"{found['ratio']:.3f}"
    return question, str(found["n"]), bare, ours, ratio


def show(result: dict[str, Any], more: Iterable[Row] = ()) -> None:
    """Print what was measured, the fastest variant first."""
    trainer = result["trainer"]
    seconds = f"{trainer['between_epochs']:.2f}"
    rows = [
        trained("training, images/s, against a bare loop over one batch in memory", trainer),
        (
            "seconds between epochs: records, checkpoints",
            str(trainer["n_between"]),
            "",
            seconds,
            "",
        ),
    ]
    title = Text(printable(" ".join(result["configuration"])))  # no markup: [...] is a list
    table = Table("question", "n", "the other", "ours", "ratio", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in [*rows, *more]:
        table.add_row(*row)
    lines = [
        f"{rate:>10,.0f} images/s  {name}"
        for name, rate in sorted(result["variants"].items(), key=lambda item: -item[1])
    ]
    rich.reconfigure()  # the progress bars drew to a terminal that nobody saw
    console().print(table)
    for line in [
        *lines,
        f"(medians of {result['n_variants']})",
        f"images: {result['images']}; {result['machine']['device']}",
    ]:
        console().print(Text(printable(line)))
    console().print(Text(printable(f"recommended: {result['recommended']}"), "bold"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser("benchmark", __doc__)
    parser.add_argument("overrides", nargs="*", help="as for training, such as model=resnet18")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--repeats", type=int, default=5, help="of the comparison (default 5)")
    options = parser.parse_args(arguments)
    register_resolvers()
    set_up_logging()
    with reduced_overhead(), errors_in_one_line():  # as in training
        if options.repeats < 1:
            raise ValueError(f"--repeats {options.repeats}: must be an integer >= 1")
        result = benchmark(options.overrides, options.repeats)
        if options.json:
            Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
        show(result)


if __name__ == "__main__":
    main()
