"""What TensorBoard shows besides curves: charts, graph, configuration, hyperparameters, summary."""

import functools
import shlex
import warnings
from collections.abc import Mapping
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard._pytorch_graph import graph
from torch.utils.tensorboard.summary import hparams

from resnet_lab.callbacks.tensorboard_tags import tag
from resnet_lab.core.configuration.building import build
from resnet_lab.core.configuration.config import (
    NOT_OF_THE_NETWORK,
    bears_on_result,
    flat,
    override_key,
)
from resnet_lab.core.harmless import harmless_callback
from resnet_lab.core.text import markdown, markdown_code
from resnet_lab.data.pixels import sides

DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# Always in the HParams tab, so that runs can be compared; what the user overrode joins them.
HYPERPARAMETERS = ("data.name", "model.name", "optimizer.lr", "data.batch_size", "seed")


# Charts of the tab CUSTOM SCALARS, by title: the tags of their curves.
CHARTS = {
    "accuracy": ["acc/train$", "acc/val$"],
    "loss": ["loss/train$", "loss/val$"],
    "loss of a step": ["step/loss$"],
    "learning rate": ["optimizer/lr"],
    "gradient norm": ["optimizer/grad_norm$"],
}


@harmless_callback
class TensorBoardRecord(Callback):
    """Write once: charts, the graph, the configuration, the hyperparameters, a summary of the run.

    Args:
        graph: whether to trace the network's graph.
    """

    def __init__(self, graph: bool = True) -> None:
        self.graph = graph
        self._config = OmegaConf.create()
        self._status: Mapping[str, Any] = {}

    def describe_run(self, config: DictConfig, status: Mapping[str, Any]) -> None:
        """Keep the configuration and the status of the run, which is kept up to date."""
        self._config, self._status = config, status

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write charts and configuration, and declare the hyperparameters."""
        writer = writer_of(trainer)
        if writer is None or trainer.global_step > 0:
            return
        text = yaml.dump(OmegaConf.to_container(self._config), Dumper=DUMPER, sort_keys=False)
        writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))
        writer.add_custom_scalars(
            {"curves": {title: ["Multiline", tags] for title, tags in CHARTS.items()}}
        )
        names = getattr(pl_module, "metric_names", None)
        known = names("test") if callable(names) else []
        single = [name for name in known if name.count("/") == 1]  # not those of each class
        final = tag(self._config.monitor)
        metrics = dict.fromkeys((f"result/best {final}", final, *single), 0.0)
        for summary in hparams(self._hyperparameters(), metrics):  # type: ignore[no-untyped-call]
            # Straight to the file: SummaryWriter.add_hparams starts a run of its own and logs a
            # made-up value for each metric. The metrics' values come from the curves.
            writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the graph; at the end, so that training starts without waiting for the trace."""
        writer = writer_of(trainer)
        if writer is None:
            return
        if not self._config.test:
            self._write_summary(trainer, writer)
        if not self.graph:
            return
        facts = trainer.datamodule.facts()  # type: ignore[attr-defined]
        model = OmegaConf.to_yaml(self._config.model)
        drawn = _graph(model, (1, facts["channels"], *sides(facts["image_size"])))
        writer._get_file_writer().add_graph(drawn)  # type: ignore[no-untyped-call]
        self.graph = False

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer = writer_of(trainer)
        if writer is not None:
            self._write_summary(trainer, writer)

    def _write_summary(self, trainer: Trainer, writer: SummaryWriter) -> None:
        """Write how the run was made and what came out, as a Markdown table, and the best value."""
        status = self._status
        command = shlex.join(["resnet-train", *status.get("overrides", ())])
        rows = {"commit": status.get("commit")}
        for name, value in sorted(trainer.callback_metrics.items()):
            if name.startswith("test/"):
                rows[name] = f"{float(value):.4f}"
        if (best := status.get("best")) is not None:
            name = f"result/best {tag(best['monitor'])}"
            writer.add_scalar(name, best["value"], trainer.global_step)
            rows[f"best {best['monitor']}"] = f"{best['value']:.4f} (epoch {best['epoch']})"
        rows["epochs"] = f"{status.get('epochs')} in {status.get('seconds', 0):.1f} s"
        for name in ("images_per_second", "device", "precision"):
            rows[name.replace("_", " ")] = status.get(name)
        versions = status.get("versions", {})
        rows["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        cells = {"command": markdown_code(command)}
        cells |= {markdown(name): markdown(str(value)) for name, value in rows.items()}
        lines = [f"| {name} | {cell} |" for name, cell in cells.items()]
        table = "\n".join(["| | |", "| --- | --- |", *lines])
        writer.add_text("summary", table, trainer.global_step)

    def _hyperparameters(self) -> dict[str, Any]:
        values = flat(self._config)
        found = {name: values[name] for name in HYPERPARAMETERS if name in values}
        for override in self._status.get("overrides", ()):
            name, _, typed = override.partition("=")
            name = override_key(name)
            if bears_on_result(name) and f"{name}.name" not in found:  # data=cifar10 is data.name
                found[name] = values.get(name, typed)  # typed: of a group, such as augment=erasing
        return {
            # A whole number is a text: TensorBoard shows the number 3 as 3.0000.
            name: value if isinstance(value, bool | float) else str(value)
            for name, value in found.items()
        }


@functools.lru_cache(maxsize=4)
def _graph(model: str, shape: tuple[int, ...]) -> Any:
    """Trace a network, once for all jobs of this process: a trace is never freed, 6 MB a ResNet-8.

    It is built anew from its YAML, for the one that was trained may be compiled, shared out among
    devices, or hold the hooks of a profiler. TensorBoard reads graphs of torch.jit.trace only.
    """
    config = OmegaConf.create({"model": OmegaConf.create(model)})
    with torch.device("meta"):  # nothing is drawn at random
        network: nn.Module = build(config, "model", without=NOT_OF_THE_NETWORK)
    network.to_empty(device="cpu").eval()
    for tensor in network.state_dict().values():
        tensor.zero_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return graph(network, torch.zeros(shape))  # type: ignore[no-untyped-call]


def writer_of(trainer: Trainer) -> SummaryWriter | None:
    """Return the TensorBoard writer of the process that leads, if there is one."""
    if not trainer.is_global_zero:
        return None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            writer: SummaryWriter = logger.experiment
            return writer
    return None
