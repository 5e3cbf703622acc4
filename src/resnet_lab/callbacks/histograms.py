"""Histograms of weights, gradients and activations in TensorBoard."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnet_lab.callbacks.tensorboard import writer_of
from resnet_lab.core.harmless import harmless_callback


@harmless_callback
class Histograms(Callback):
    """Write histograms of each stage of the network, once every few epochs, at the last step.

    A stage is a direct child of the network that has parameters, such as `layer1`: its weights
    (parameters of two or more dimensions) and their gradients, and the activations that it returns.

    Args:
        every_n_epochs: how often.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        if every_n_epochs < 1:
            raise ValueError(
                f"callbacks.histograms.every_n_epochs={every_n_epochs}: must be an integer >= 1"
            )
        self.every_n_epochs = every_n_epochs
        self._hooks: list[RemovableHandle] = []
        self._activations: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a compiled network: it calls no hooks that are registered later."""
        if getattr(pl_module, "compiled", False):
            raise ValueError("callbacks=[histograms] does not go with task.compile: leave one out")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and trainer.is_last_batch and writer_of(trainer) is not None:
            for name, stage in _stages(pl_module):
                self._hooks.append(stage.register_forward_hook(self._recording(name)))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, _: Any
    ) -> None:
        writer = writer_of(trainer)
        if not self._hooks or writer is None:
            return
        self._remove_hooks()
        for name, activations in self._activations.items():
            writer.add_histogram(f"stages/{name} activations", activations, trainer.global_step)
        for name, stage in _stages(pl_module):
            weights = [p for p in stage.parameters() if p.ndim > 1]
            gradients = [p.grad for p in weights if p.grad is not None]
            for kind, tensors in (("weights", weights), ("gradients", gradients)):
                if tensors:
                    values = torch.cat([t.detach().float().flatten() for t in tensors])
                    writer.add_histogram(f"stages/{name} {kind}", values, trainer.global_step)
        self._activations = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._remove_hooks()  # also where the last batch made no step

    def _recording(self, name: str) -> Any:
        def record(module: nn.Module, arguments: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self._activations[name] = output.detach().float().cpu()

        return record

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def _stages(task: LightningModule) -> Iterator[tuple[str, nn.Module]]:
    network = getattr(task, "net", task)
    for name, child in network.named_children():
        if any(True for _ in child.parameters()):
            yield name, child
