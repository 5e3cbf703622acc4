"""Measure how much of this machine a training run uses.

    python -m resnet_lab.benchmark [data=cifar10 model=resnet20 ...] [--json FILE] [--repeats 3]
    python -m resnet_lab.benchmark --full       # sweeps, growth and memory too: ten minutes

Both sides of each ratio are measured in turn, in this process, and the median is shown. Images of
the data set are used where they are on this machine, random ones of that shape elsewhere.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rich
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from resnet_lab.config import CONF, register_resolvers
from resnet_lab.console import console, errors_in_one_line, quiet_lightning, set_up_logging
from resnet_lab.provenance import commit, versions

DEFAULTS = ("data=cifar10", "model=resnet20")


def benchmark(overrides: Sequence[str] = (), repeats: int = 3) -> dict[str, Any]:
    """Measure a configuration.

    Args:
        overrides: as for training, after `data=cifar10 model=resnet20`.
        repeats: how often each pair is measured.

    Returns:
        One entry a question, each with both sides and their ratio; `machine` says what on.
    """
    import torch

    from resnet_lab import measure
    from resnet_lab.device import describe
    from resnet_lab.run import Run

    quiet_lightning()
    torch.manual_seed(0)
    cfg, stand_in = _composed(overrides)
    run = Run(Path(), cfg, {})
    data = run.build_data()
    data.setup("fit")
    device = torch.device("cpu")
    if torch.cuda.is_available() and cfg.trainer.accelerator != "cpu":
        device = torch.device("cuda")
    batch = tuple(
        part.to(device) for part in data.finish(next(iter(data.train_dataloader())), augment=True)
    )
    precision = cfg.trainer.precision

    def bare(
        precision: str, steps: int, *, channels_last: bool = True, compiled: bool = False
    ) -> float:
        cfg.task.channels_last = channels_last
        task = run.build_task()
        net = task.net.to(device)
        if compiled:
            net.compile()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        images = batch[0].contiguous(memory_format=layout)
        assert task.optimizer is not None
        optimizer = task.optimizer(net.parameters())
        return measure.bare_rate(net, optimizer, (images, batch[1]), precision, steps)

    speed = bare(precision, 3) / cfg.data.batch_size  # steps/s, to choose how many to time
    steps = max(5, round(4 * speed))
    between = []

    def trained() -> float:
        rate, seconds = measure.trainer_rate(cfg, steps)
        between.append(seconds)
        return rate

    trainer = _pair(lambda: bare(precision, steps), trained, repeats)
    tiny = measure.free_network(cfg.data.num_classes, cfg.data.channels)
    cpu_batch = (batch[0].cpu(), batch[1].cpu())
    loop = _overhead(cfg, tiny, cpu_batch, repeats)
    loader = _pair(
        lambda: measure.torchvision_rate(data, 2.0), lambda: measure.loader_rate(data, 1.0), repeats
    )
    imports, first = measure.seconds_to_first_step(max(1, repeats - 2))
    variants = {
        f"trainer.precision={kind} task.channels_last={str(layout).lower()}": bare(
            kind, max(3, steps // 4), channels_last=layout
        )
        for kind in ("32-true", "bf16-mixed")
        for layout in (False, True)
    }
    if (
        device.type == "cuda"
    ):  # on a CPU, compiling takes longer than this benchmark and gains little
        variants[f"trainer.precision={precision} task.compile=true"] = bare(
            precision, steps, compiled=True
        )
    return {
        "configuration": [*DEFAULTS, *overrides],
        "images": "random, of the shape of the data set" if stand_in else data.name,
        "trainer": {"bare": trainer[0], "ours": trainer[1], "ratio": trainer[2]},
        "between_epochs": {"seconds": statistics.median(between)},
        "step_overhead": loop,
        "loader": {"torchvision": loader[0], "ours": loader[1], "ratio": loader[2]},
        "start": {"imports": imports, "first_step": first, "ratio": first / imports},
        "variants": variants,
        "recommended": max(variants, key=lambda name: variants[name]),
        "machine": {
            "device": describe(cfg.trainer.accelerator),
            "precision": precision,
            "versions": versions(),
            "commit": commit(),
        },
    }


def _composed(overrides: Sequence[str]) -> tuple[DictConfig, bool]:
    """Compose, with random images where the data set is not on this machine."""
    from resnet_lab.run import Run

    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*DEFAULTS, *overrides])
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    assert isinstance(resolved, DictConfig)
    if not resolved.data.source._target_.endswith("TorchvisionSource"):  # nothing to download
        return resolved, False
    resolved.data.source.download = False
    data = Run(Path(), resolved, {}).build_data()
    try:
        data.prepare_data()
    except ValueError:
        facts = resolved.data
        facts.source = {
            "_target_": "resnet_lab.data.sources.RandomImages",
            "num_classes": facts.num_classes,
            "size": facts.image_size,
            "channels": facts.channels,
        }
        facts.val_size = 0.1
        return resolved, True
    return resolved, False


def _pair(
    first: Callable[[], float], second: Callable[[], float], repeats: int
) -> tuple[float, float, float]:
    """Measure two in turn; return both medians and the median of second over first."""
    pairs = [(first(), second()) for _ in range(repeats)]
    ratio = statistics.median(b / a for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio


def _overhead(cfg: DictConfig, net: Any, batch: Any, repeats: int) -> dict[str, float]:
    """Compare the loops around a network that costs nothing, in milliseconds a step."""
    from resnet_lab import measure

    free = cfg.copy()
    free.model = {
        "_target_": "resnet_lab.measure.free_network",
        "num_classes": cfg.data.num_classes,
        "in_channels": cfg.data.channels,
    }
    free.trainer.accelerator, free.trainer.precision = "cpu", "32-true"
    free.callbacks.tensorboard.graph = False
    steps = 200

    def ours() -> float:
        return measure.trainer_rate(free, steps)[0] / int(cfg.data.batch_size)

    lightning, own, _ = _pair(lambda: measure.lightning_rate(net, batch, steps), ours, repeats)
    return {
        "lightning": 1e3 / lightning,
        "ours": 1e3 / own,
        "difference": 1e3 / own - 1e3 / lightning,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m resnet_lab.benchmark", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("overrides", nargs="*", help="as for training, such as model=resnet18")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--repeats", type=int, default=3, help="of each pair (default 3)")
    parser.add_argument("--full", action="store_true", help="sweeps, growth and memory too")
    options = parser.parse_args(arguments)
    register_resolvers()
    set_up_logging()
    with errors_in_one_line():
        if options.repeats < 1:
            raise ValueError(f"--repeats {options.repeats}: needs a whole number from 1")
        result = benchmark(options.overrides, options.repeats)
        if options.full:
            from resnet_lab.measure_jobs import whole_jobs

            result["jobs"] = whole_jobs(_composed(options.overrides)[0])
        if options.json:
            Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
        rich.reconfigure()  # the progress bars drew to a terminal that nobody saw
        _show(result)


def _show(result: dict[str, Any]) -> None:
    trainer, loop, loader, start = (
        result[name] for name in ("trainer", "step_overhead", "loader", "start")
    )
    table = Table("question", "the other", "ours", "ratio", title=" ".join(result["configuration"]))
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row(
        "training, images/s, against a bare loop on one resident batch",
        f"{trainer['bare']:,.0f}", f"{trainer['ours']:,.0f}", f"{trainer['ratio']:.3f}",
    )  # fmt: skip
    table.add_row(
        "a step of a network that costs nothing, ms, against Lightning's bare loop",
        f"{loop['lightning']:.2f}", f"{loop['ours']:.2f}", f"+{loop['difference']:.2f} ms",
    )  # fmt: skip
    table.add_row(
        "images/s ready for the network, against torchvision with two workers",
        f"{loader['torchvision']:,.0f}", f"{loader['ours']:,.0f}", f"{loader['ratio']:.1f}",
    )  # fmt: skip
    table.add_row(
        "seconds to the first step on the digits, against the imports alone",
        f"{start['imports']:.1f}", f"{start['first_step']:.1f}", f"{start['ratio']:.2f}",
    )  # fmt: skip
    table.add_row("seconds between epochs: records and checkpoints", "",
                  f"{result['between_epochs']['seconds']:.2f}", "")  # fmt: skip
    if jobs := result.get("jobs"):
        sweep, memory = jobs["sweep"], jobs["memory"]
        table.add_row(
            "seconds of 8 one-epoch jobs on the digits: as processes, as one multirun",
            f"{sweep['separate']:.1f}", f"{sweep['together']:.1f}", f"{sweep['ratio']:.1f}",
        )  # fmt: skip
        table.add_row("memory that a further job of a multirun adds, MB", "",
                      f"{sweep['growth']:.1f}", "")  # fmt: skip
        table.add_row("time per image, largest over smallest, from 1,000 to 60,000 images", "", "",
                      f"{jobs['images']['ratio']:.2f}")  # fmt: skip
        table.add_row("deviation from linear in depth, 20 to 110", "", "",
                      f"{100 * jobs['depth']['deviation']:.0f} %")  # fmt: skip
        table.add_row(
            "peak memory of a job, MB, beside a bare loop and the data set",
            f"{memory['bare']:,.0f} + {memory['data']:,.0f}", f"{memory['ours']:,.0f}",
            f"+{memory['difference']:,.0f} MB",
        )  # fmt: skip
    console().print(table)
    for name, rate in sorted(result["variants"].items(), key=lambda item: -item[1]):
        console().print(f"{rate:>10,.0f} images/s  {name}", highlight=False)
    machine = result["machine"]
    console().print(f"images: {result['images']}; {machine['device']}", highlight=False)
    console().print(f"recommended: {result['recommended']}", style="bold", highlight=False)


if __name__ == "__main__":
    main()
