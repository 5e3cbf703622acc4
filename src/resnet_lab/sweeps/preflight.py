"""Check a job without training it: configuration, data, network, metric, memory, disk.

    python -m resnet_lab.train preflight=true ...

The data is read (and fetched where it is missing) as the job would; the network is built on the
meta device, where tensors have a shape and no memory.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from rich.text import Text
from torch import nn

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
from resnet_lab.sweeps.estimate import (
    EpochTime,
    Estimate,
    build_optimizers,
    estimate,
    time_epoch,
)
from resnet_lab.sweeps.sweep import distinct
from resnet_lab.training.preparing.thread_choice import most_for, setting_of
from resnet_lab.training.weights.pretrained import load_pretrained

if TYPE_CHECKING:
    from resnet_lab.data import ImageDataModule
    from resnet_lab.sweeps.job import Job

MIB = 2**20

# A trainer that this machine can build, whatever the one that is to train has.
ANY_MACHINE = {
    "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto", "precision": "32-true",
}  # fmt: skip


class Preflight:
    """Check jobs; what they have in common is checked once.

    Args:
        elsewhere: the jobs are for other machines, which may have other devices.
    """

    def __init__(self, *, elsewhere: bool = False) -> None:
        import lightning  # noqa: F401  # sets up the loggers that are about to be quieted

        quiet_lightning()
        self._elsewhere = elsewhere
        self._data: dict[str, ImageDataModule] = {}
        self._trainers: dict[str, int] = {}  # how many processes each has
        self._net: tuple[str, nn.Module] | None = None  # the last one, and what describes it
        self._seen: set[str] = set()  # parts that were checked
        self._checked: dict[str, Estimate] = {}  # by the whole configuration
        self._estimates: dict[str, Estimate] = {}  # by what decides the size

    def check(self, config: DictConfig) -> Estimate:
        """Check one job.

        Args:
            config: composed, without Hydra's own node.

        Raises:
            ValueError: the job could not run.
        """
        run = Run(Path(), resolved(config, trust=True), {}, trust=True)
        run.config.seed = 0  # was checked; jobs that differ in nothing else are checked once
        whole = _key(run.config)
        if whole not in self._checked:
            self._checked[whole] = self._check(run)
        return self._checked[whole]

    def time_epoch(self, config: DictConfig) -> EpochTime | None:
        """Return what an epoch of a job that was checked takes here; None if it is not ours."""
        from resnet_lab.data import ImageDataModule
        from resnet_lab.training.image_task import ImageTask

        run = Run(Path(), resolved(config, trust=True), {}, trust=True)
        data: Any = self._data[_key(run.config.data)]
        if "compile" in run.config.task:
            run.config.task.compile = False  # takes a minute
        task: Any = run.build_task()
        if not (isinstance(data, ImageDataModule) and isinstance(task, ImageTask)):
            return None
        on_gpu = torch.cuda.is_available() and run.config.trainer.accelerator != "cpu"
        return time_epoch(run, task, data, torch.device("cuda" if on_gpu else "cpu"))

    def _check(self, run: Run) -> Estimate:
        from resnet_lab.training.preparing.network_check import compile_mode

        compile_mode(
            run.config.task.get("compile", False), run.config.trainer.accumulate_grad_batches
        )
        if run.config.task.get("compile"):
            run.config.task.compile = False  # takes a minute, and changes neither shapes nor names
        if run.config.optimizer.get("fused"):
            run.config.optimizer.fused = False  # changes no shape, and is not for the meta device
        if self._elsewhere:
            run.config.trainer.update(ANY_MACHINE)
        else:
            check_threads(setting_of(run.config), most_for(run.config))
        check_accelerator(run.config.trainer.accelerator, run.config.trainer.devices)
        config = run.config
        processes = self._processes(run)
        data = self._read(run)
        check_share(data.batch_size, processes)
        size = _key(config.data, config.model, _without_amounts(config.task))
        with torch.device("meta"):
            task = run.build_task(self._network(run))
            judged = ("trainer", "callbacks", "monitor", "monitor_mode", "expected", "test")
            if self._is_new("measured", size, _key(*(config.get(name) for name in judged))):
                check_measured(config, task, data, trust=True)
        optimizers = build_optimizers(run, task, data)
        weights = config.model.weights
        if weights and self._is_new("weights", _key(config.data, config.model)):
            # They need a network to be put into.
            load_pretrained(run.build_net(), weights, config.model.replace_classifier)
        key = _key(config.trainer.precision, size, _without_amounts(config.optimizer))
        if key not in self._estimates:
            half = str(config.trainer.precision).startswith(("16", "bf16"))
            self._estimates[key] = estimate(task, optimizers, data, half=half)
        return self._estimates[key]

    def _processes(self, run: Run) -> int:
        """Build the trainer with its callbacks and loggers; return how many processes train."""
        config = run.config
        key = _key(config.trainer, config.get("callbacks"), config.get("logger"), config.monitor)
        if key not in self._trainers:
            trainer = build_trainer(run, build_callbacks(run), build_loggers(run), validates=True)
            self._trainers[key] = trainer.num_devices * trainer.num_nodes
        return self._trainers[key]

    def _is_new(self, *what: str) -> bool:
        """Whether this was not checked before: an error ends the preflight."""
        key = _key(*what)
        new = key not in self._seen
        self._seen.add(key)
        return new

    def _network(self, run: Run) -> nn.Module:
        """Build the network, or return the last job's if it is the same."""
        task = run.config.task
        key = _key(run.config.model, run.config.data, task.get("freeze"), task.get("backbone_lr"))
        if self._net is None or self._net[0] != key:
            self._net = key, run.build_net()
        return self._net[1]

    def _read(self, run: Run) -> "ImageDataModule":
        key = _key(run.config.data)
        if key not in self._data:
            data = run.build_data()
            data.prepare_data()
            data.setup("fit")
            self._data[key] = data
        return self._data[key]


def preflight(config: DictConfig) -> None:
    """Check a single run, and print how large it is and how long an epoch takes here.

    Raises:
        ValueError: it could not run.
    """
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
    table = Table("job", "overrides", "parameters", "memory", "checkpoints")
    for column in table.columns[2:]:
        column.justify = "right"
    names = distinct([job.overrides for job in jobs])
    for number, (name, size) in enumerate(zip(names, estimates, strict=True), 1):
        table.add_row(
            str(number),
            Text(name),  # brackets in it are no markup
            f"{size.parameters:,}",
            f"{size.memory / MIB:,.0f} MiB",
            f"{size.checkpoints / MIB:,.0f} MiB",
        )
    show(table)
    total = sum(size.checkpoints for size in estimates) / MIB
    show(Text(f"{len(jobs)} jobs can run; their checkpoints take about {total:,.0f} MiB"))


def _key(*parts: Any) -> str:
    plain = [OmegaConf.to_container(p) if OmegaConf.is_config(p) else p for p in parts]
    return json.dumps(plain, default=str)


def _without_amounts(part: DictConfig) -> Any:
    """Return a part of the configuration, with each float replaced by whether it is not 0.

    Memory depends on whether there is a momentum, not on its value.
    """
    plain = OmegaConf.to_container(part)
    assert isinstance(plain, dict)
    return {k: bool(v) if isinstance(v, float) else v for k, v in plain.items()}
