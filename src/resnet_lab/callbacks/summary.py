"""Show the layers of a network, with output shapes and parameters."""

import logging
from typing import NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table
from torch import Tensor, nn

from resnet_lab.core.console import show
from resnet_lab.core.harmless import harmless_callback
from resnet_lab.data.pixels import sides
from resnet_lab.training.image_task import ImageTask

log = logging.getLogger(__name__)


class Layer(NamedTuple):
    """One module of a network, with what a forward pass showed."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of its output, without the batch
    parameters: int  # its own and its children's


@harmless_callback
class ModelSummary(Callback):
    """Print the layers down to a depth; write all of them to the log of the run.

    Args:
        depth: of the names that are printed (`layer1.0` has depth 2); None prints every layer.
    """

    def __init__(self, depth: int | None = 2) -> None:
        self.depth = depth

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        net: nn.Module = pl_module.net  # type: ignore[assignment]
        facts = trainer.datamodule.facts()  # type: ignore[attr-defined]
        size = sides(facts["image_size"])
        example = torch.zeros(1, facts["channels"], *size, device=pl_module.device)
        if isinstance(pl_module, ImageTask):
            example = pl_module.arrange(example)
        layers = trace(net, example)  # by every process: the weights may be sharded
        if not trainer.is_global_zero:
            return
        log.debug("layers\n%s", "\n".join(f"{layer}" for layer in layers))
        title = f"{type(net).__name__} on {tuple(example.shape[1:])}"
        table = Table("layer", "type", "output", title=title, title_justify="left")
        table.add_column("parameters", justify="right")
        for layer in layers:
            if layer.name and (self.depth is None or layer.name.count(".") < self.depth):
                shape = " x ".join(str(side) for side in layer.shape)
                count = f"{layer.parameters:,}" if layer.parameters else ""
                table.add_row(layer.name, layer.kind, shape, count)
        trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
        total = sum(p.numel() for p in net.parameters())
        table.add_section()
        table.add_row("total", "" if trained == total else f"{trained:,} trained", "", f"{total:,}")
        show(table)


@torch.no_grad()
def trace(net: nn.Module, example: Tensor) -> list[Layer]:
    """Return the layers of a network in the order of a forward pass, each with its output shape."""
    shapes: dict[str, tuple[int, ...]] = {}
    order: list[str] = []

    def hook(name: str) -> list[torch.utils.hooks.RemovableHandle]:
        def begin(module: nn.Module, inputs: object) -> None:
            order.append(name)

        def end(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape[1:])

        module = modules[name]
        return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]

    modules = dict(net.named_modules())
    handles = [handle for name in modules for handle in hook(name)]
    training = net.training
    try:
        with torch.compiler.set_stance("force_eager"):  # or it is compiled for one image
            net.eval()(example)
    finally:
        net.train(training)
        for handle in handles:
            handle.remove()
    return [
        Layer(
            name,
            type(modules[name]).__name__,
            shapes[name],
            sum(p.numel() for p in modules[name].parameters()),
        )
        for name in dict.fromkeys(order)
        if name in shapes
    ]
