"""What TensorBoard shows besides curves: images, graph, configuration, hyperparameters."""

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard._pytorch_graph import graph
from torch.utils.tensorboard.summary import hparams
from torchvision.utils import make_grid

from resnet_lab.core.building import build
from resnet_lab.core.config import NOT_OF_THE_NETWORK, bears_on_result, flat, override_key
from resnet_lab.core.harmless import harmless_callback
from resnet_lab.data.pixels import sides

# Always in the HParams tab, so that runs can be compared; what the user overrode joins them.
HYPERPARAMETERS = ("data.name", "model.name", "optimizer.lr", "data.batch_size", "seed")


@harmless_callback
class TensorBoardRecord(Callback):
    """Write once: a grid of training images, the graph, the configuration, the hyperparameters.

    Args:
        images: number of images in the grid; 0 for none.
        graph: whether to trace the network's graph.
    """

    def __init__(self, images: int = 32, graph: bool = True) -> None:
        self.images = images
        self.graph = graph
        self._config = OmegaConf.create()
        self._overrides: Sequence[str] = ()

    def describe_run(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Keep the configuration and what the user typed; called when the run begins."""
        self._config, self._overrides = config, overrides

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the configuration and declare the hyperparameters."""
        writer = _writer(trainer)
        if writer is None or trainer.global_step > 0:
            return
        text = OmegaConf.to_yaml(self._config)
        writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))
        names = getattr(pl_module, "metric_names", None)
        known = names("test") if callable(names) else []
        single = [name for name in known if name.count("/") == 1]  # not those of each class
        metrics = dict.fromkeys((self._config.monitor, *single), 0.0)
        for summary in hparams(self._hyperparameters(), metrics):  # type: ignore[no-untyped-call]
            # Straight to the file: SummaryWriter.add_hparams starts a run of its own and logs a
            # made-up value for each metric. The metrics' values come from the curves.
            writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        """Show the first training batch as the network sees it."""
        if batch_idx or trainer.global_step or not self.images:
            return
        writer = _writer(trainer)
        if writer is not None:
            facts = trainer.datamodule.facts()  # type: ignore[attr-defined]
            images = batch[0][: self.images].detach().float().cpu()
            mean, std = (torch.tensor(facts[key])[:, None, None] for key in ("mean", "std"))
            grid = make_grid((images * std + mean).clamp(0, 1), nrow=8, padding=1)
            writer.add_image("train/images", grid, 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the graph; at the end, so that training starts without waiting for the trace."""
        writer = _writer(trainer)
        if writer is None or not self.graph:
            return
        facts = trainer.datamodule.facts()  # type: ignore[attr-defined]
        model = OmegaConf.to_yaml(self._config.model)
        drawn = _graph(model, (1, facts["channels"], *sides(facts["image_size"])))
        writer._get_file_writer().add_graph(drawn)  # type: ignore[no-untyped-call]
        self.graph = False

    def _hyperparameters(self) -> dict[str, Any]:
        values = flat(self._config)
        found = {name: values[name] for name in HYPERPARAMETERS if name in values}
        for override in self._overrides:
            name, _, typed = override.partition("=")
            name = override_key(name)
            if bears_on_result(name) and f"{name}.name" not in found:  # data=cifar10 is data.name
                found[name] = values.get(name, typed)  # typed: of a group, such as augment=erasing
        return {
            name: value if isinstance(value, bool | int | float) else str(value)
            for name, value in found.items()
        }


@functools.lru_cache(maxsize=4)
def _graph(model: str, shape: tuple[int, ...]) -> Any:
    """Trace a network, once for all jobs of this process: a trace is never freed, 6 MB a ResNet-8.

    It is built anew, for the one that was trained may be compiled, shared out among devices, or
    hold the hooks of a profiler. TensorBoard reads graphs of torch.jit.trace only.

    Args:
        model: its configuration, as YAML.
        shape: of the images, [1, C, H, W].
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


def _writer(trainer: Trainer) -> SummaryWriter | None:
    """Return the TensorBoard writer of the process that leads, if there is one."""
    if not trainer.is_global_zero:
        return None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            writer: SummaryWriter = logger.experiment
            return writer
    return None
