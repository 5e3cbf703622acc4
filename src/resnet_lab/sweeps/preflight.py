"""Check a job without training it: configuration, data, network, metric, memory, disk.

    python -m resnet_lab.train preflight=true ...

The data is read (and fetched where it is missing) as the job would; the network is built on the
meta device, where tensors have a shape and no memory.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from omegaconf import DictConfig, OmegaConf
from rich.table import Column, Table
from rich.text import Text

from resnet_lab.core.console import quiet_lightning, show
from resnet_lab.core.device import check_accelerator
from resnet_lab.core.processes import check_share
from resnet_lab.core.threads import check_threads
from resnet_lab.reporting.wording import duration
from resnet_lab.runs.checking.checks import resolved
from resnet_lab.runs.checking.metric_checks import check_measured
from resnet_lab.runs.services import build_loggers
from resnet_lab.runs.trained.run import Run
from resnet_lab.runs.trainer import build_callbacks, build_trainer
from resnet_lab.sweeps.estimate import EpochTime, Estimate, build_optimizers, estimate, time_epoch
from resnet_lab.sweeps.sweep import distinct
from resnet_lab.training.preparing.thread_choice import most_for, setting_of
from resnet_lab.training.weights.pretrained import load_pretrained

if TYPE_CHECKING:
    from resnet_lab.data import ImageDataModule
    from resnet_lab.sweeps.job import Job

T = TypeVar("T")

MIB = 2**20

# A trainer that this machine can build, whatever the one that is to train has.
ANY_MACHINE = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": "32-true",
}  # fmt: skip


class Preflight:
    """Check jobs; what they have in common is built and checked once.

    Jobs `elsewhere` are for machines that may have other devices than this one.
    """

    def __init__(self, *, elsewhere: bool = False) -> None:
        import lightning  # noqa: F401  # sets up the loggers that are about to be quieted

        quiet_lightning()
        self._elsewhere = elsewhere
        self._known: dict[str, Any] = {}  # results of `_once`

    def _once(self, make: Callable[[], T], *what: Any) -> T:
        """Call a function, or return what it returned for the same parts of a configuration."""
        key = _key(*what)
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    def check(self, config: DictConfig) -> Estimate:
        """Check one job, composed without Hydra's own node; raise a ValueError if it cannot run."""
        run = _run_of(config)
        run.config.seed = 0  # was checked; jobs that differ in nothing else are checked once
        return self._once(lambda: self._check(run), "job", run.config)

    def time_epoch(self, config: DictConfig) -> EpochTime | None:
        """Return what an epoch of a job that was checked takes here; None if it is not ours."""
        from resnet_lab.data import ImageDataModule
        from resnet_lab.training.image_task import ImageTask

        run = _run_of(config)
        data: Any = self._read(run)
        if "compile" in run.config.task:
            run.config.task.compile = False  # takes a minute
        task: Any = run.build_task()
        if not (isinstance(data, ImageDataModule) and isinstance(task, ImageTask)):
            return None
        on_gpu = torch.cuda.is_available() and run.config.trainer.accelerator != "cpu"
        return time_epoch(run, task, data, torch.device("cuda" if on_gpu else "cpu"))

    def _check(self, run: Run) -> Estimate:
        from resnet_lab.training.preparing.network_check import compile_mode

        config, settings = run.config, run.config.task
        compile_mode(settings.get("compile", False), config.trainer.accumulate_grad_batches)
        if settings.get("compile"):
            settings.compile = False  # takes a minute, and changes neither shapes nor names
        if config.optimizer.get("fused"):
            config.optimizer.fused = False  # changes no shape, and is not for the meta device
        if self._elsewhere:
            config.trainer.update(ANY_MACHINE)
        else:
            check_threads(setting_of(config), most_for(config))
        check_accelerator(config.trainer.accelerator, config.trainer.devices)
        trained_by = [config.get(name) for name in ("trainer", "callbacks", "logger", "monitor")]
        processes = self._once(lambda: _count_processes(run), "processes", *trained_by)
        data = self._read(run)
        check_share(data.batch_size, processes)
        size = (config.data, config.model, _without_amounts(settings))
        judged = ("trainer", "callbacks", "monitor", "monitor_mode", "expected", "test")
        judged_by = [config.get(name) for name in judged]
        with torch.device("meta"):
            changed_by = settings.get("freeze"), settings.get("backbone_lr")
            net = self._once(run.build_net, "network", config.model, config.data, *changed_by)
            task = run.build_task(net)
            self._once(
                lambda: check_measured(config, task, data, trust=True), "judged", *size, *judged_by
            )
        optimizers = build_optimizers(run, task, data)
        if weights := config.model.weights:
            new = config.model.replace_classifier
            self._once(  # they need a network with memory
                lambda: load_pretrained(run.build_net(), weights, new),
                "weights", config.data, config.model,
            )  # fmt: skip
        precision = str(config.trainer.precision)
        half = precision.startswith(("16", "bf16"))
        return self._once(
            lambda: estimate(task, optimizers, data, half=half),
            "size", precision, *size, _without_amounts(config.optimizer),
        )  # fmt: skip

    def _read(self, run: Run) -> "ImageDataModule":
        def read() -> "ImageDataModule":
            data = run.build_data()
            data.prepare_data()
            data.setup("fit")
            return data

        return self._once(read, "data", run.config.data)


def _run_of(config: DictConfig) -> Run:
    return Run(Path(), resolved(config, trust=True), {}, trust=True)


def _count_processes(run: Run) -> int:
    """Build the trainer with its callbacks and loggers; return how many processes train."""
    trainer = build_trainer(run, build_callbacks(run), build_loggers(run), validates=True)
    return trainer.num_devices * trainer.num_nodes


def preflight(config: DictConfig) -> None:
    """Check a single run, and print how large it is and how long an epoch takes here."""
    checks = Preflight()
    size = checks.check(config)
    check_disk(config.run_dir or config.log_dir, size.checkpoints)
    text = (
        f"this run can start: {size.parameters:,} parameters, about {size.memory / MIB:,.0f} MiB "
        f"beside the images, {size.checkpoints / MIB:,.0f} MiB of checkpoints"
    )
    show(Text(text))
    if (epoch := checks.time_epoch(config)) is not None:
        loaded = "while workers load the next" if epoch.workers else "and to load it"
        text = (
            f"an epoch takes about {duration(epoch.seconds)} here as things are, on one device and "
            f"without validation: {epoch.batches:,} batches, each {epoch.step:.2g} s to train on, "
            f"{loaded} in {epoch.load:.2g} s"
        )
        show(Text(text))


def check_disk(directory: str, needed: int) -> None:
    """Raise a ValueError unless so many bytes fit where `directory` is or will be."""
    place = Path(directory).absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise ValueError(f"{place} may not be written to: name another log_dir")
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ValueError(
            f"the checkpoints take about {needed / MIB:,.0f} MiB, but {place} has "
            f"{free / MIB:,.0f} MiB left: free some space, or name another log_dir"
        )


def show_table(jobs: "Sequence[Job]", estimates: Sequence[Estimate]) -> None:
    """Print one line a job: its overrides, parameters, memory."""
    sizes = (Column(name, justify="right") for name in ("parameters", "memory", "checkpoints"))
    table = Table("job", "overrides", *sizes)
    names = distinct([job.overrides for job in jobs])
    for number, (name, size) in enumerate(zip(names, estimates, strict=True), 1):
        told = (size.memory, size.checkpoints)
        table.add_row(
            str(number),
            Text(name),  # brackets in it are no markup
            f"{size.parameters:,}",
            *(f"{count / MIB:,.0f} MiB" for count in told),
        )
    show(table)
    total = sum(size.checkpoints for size in estimates) / MIB
    show(Text(f"{len(jobs)} jobs can run; their checkpoints take about {total:,.0f} MiB"))


def _key(*parts: Any) -> str:
    plain = [OmegaConf.to_container(p) if OmegaConf.is_config(p) else p for p in parts]
    return json.dumps(plain, default=str)


def _without_amounts(part: DictConfig) -> dict[Any, Any]:
    """Return a part of the configuration, with each float replaced by whether it is not 0.

    Memory depends on whether there is a momentum, not on its value.
    """
    plain = OmegaConf.to_container(part)
    assert isinstance(plain, dict)
    return {k: bool(v) if isinstance(v, float) else v for k, v in plain.items()}
