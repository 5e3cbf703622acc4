"""What the network of a run computes for every image of a split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnet_lab.runs.inference import TrainedNetwork
from resnet_lab.training.parameter_groups import HEAD


class Outputs(NamedTuple):
    """Every image of a split with its logits.

    Attributes:
        split: "test" or "val".
        pixels: uint8 [N, H, W, C].
        labels: int64 [N].
        logits: float32 [N, classes].
        features: float32 [N, D], what enters the head; None if the network has no head.
        paths: of the files below the source's folder, where it has files.
    """

    split: str
    pixels: Tensor
    labels: Tensor
    logits: Tensor
    features: Tensor | None
    paths: list[Path]

    @property
    def probabilities(self) -> Tensor:
        """Softmax of the logits, [N, classes]."""
        return self.logits.softmax(1)

    @property
    def predicted(self) -> Tensor:
        """The most probable class, int64 [N]."""
        return self.logits.argmax(1)

    @property
    def right(self) -> Tensor:
        """Whether each prediction is correct, bool [N]."""
        return self.predicted == self.labels

    @property
    def confidence(self) -> Tensor:
        """The probability of the predicted class, [N]."""
        return self.probabilities.amax(1)

    @property
    def losses(self) -> Tensor:
        """Cross-entropy of each image in nats, [N]."""
        return nn.functional.cross_entropy(self.logits, self.labels, reduction="none")


def outputs_of(
    network: TrainedNetwork, split: str, advance: Callable[[int], None] = lambda count: None
) -> Outputs:
    """Compute logits and features of a split.

    Args:
        network: whose data is set up for the split.
        split: "test" or "val".
        advance: called with the number of images after each batch.
    """
    images, indices = network.data.images(split)
    features: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features.append(inputs[0].detach().flatten(1).float().cpu())

    head = head_or_last(network.module)
    logits, kept = [], []
    hook = head.register_forward_pre_hook(keep) if head is not None else None
    try:
        for batch in network.batches(images.pixels, indices):
            logits.append(batch)
            kept += features[-1:]  # more than one if the number of threads was measured
            features.clear()
            advance(len(batch))
    finally:
        if hook is not None:
            hook.remove()
    source: Any = network.data.source
    held = split if split in source.splits else "train"  # which a validation split is part of
    files = source.files(held) if hasattr(source, "files") else []
    own = slice(None) if len(indices) == len(images.labels) else indices
    return Outputs(
        split,
        images.pixels[own].cpu(),
        images.labels[own].cpu(),
        torch.cat(logits),
        torch.cat(kept) if kept else None,
        [files[index] for index in indices.tolist()] if files else [],
    )


def head_or_last(net: nn.Module) -> nn.Module | None:
    """Return the head of a network, or its last linear layer, or None."""
    found = getattr(net, HEAD, None)
    if isinstance(found, nn.Module):
        return found
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None
