"""What the network of a run computes for every image of a split."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnet_lab.core.text import printable
from resnet_lab.runs.trained.inference import (
    TrainedNetwork,
    check_classifies,
    leave_uncompiled,
    load_split,
)
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.multilabel import MultiLabelClassifier
from resnet_lab.training.parameter_groups import HEAD
from resnet_lab.training.regression import ImageRegressor
from resnet_lab.training.weights.published import digest


class Outputs(NamedTuple):
    """Every image of a split with its logits.

    Attributes:
        split: "test" or "val".
        pixels: uint8 [N, H, W, C].
        labels: int64 [N]; of other tasks than classification, [N, L].
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

    def place(self, index: int) -> str:
        """Return where an image is from: its file, or its number in the split."""
        return printable(self.paths[index]) if self.paths else f"{self.split} image {index}"

    def row(self, index: int) -> dict[str, Any]:
        """Return the first columns of a table of predictions: index, and path if there is one."""
        return {"index": index, **({"path": str(self.paths[index])} if self.paths else {})}


def outputs_of_run(
    run: Run,
    split: str = "test",
    checkpoint: str | None = None,
    data_dir: str | None = None,
    say: Callable[[str], None] = lambda step: None,
) -> tuple[TrainedNetwork, Outputs]:
    """Load the network of a run and compute its outputs; see `analyse` for the arguments."""
    say("reading images")
    leave_uncompiled(run)
    checkpoint, task, facts, data = load_split(run, split, checkpoint, data_dir)
    if not isinstance(task, MultiLabelClassifier | ImageRegressor):
        check_classifies(run, task)
    network = TrainedNetwork(run, checkpoint, task, facts, data)
    count = data.size(split)
    return network, outputs_of(
        network, split, lambda done: say(f"classifying {done:,} of {count:,} images")
    )


def validation_of(network: TrainedNetwork, found: Outputs) -> Outputs | None:
    """Compute the outputs of the validation split, to fit something on that the test judges.

    Returns:
        None if there is no such split, or if it is the one that is analysed.
    """
    if found.split != "test":
        return None
    network.data.setup("validate")
    return outputs_of(network, "val") if network.data.size("val") else None


def origin(network: TrainedNetwork, split: str) -> dict[str, Any]:
    """Return what is analysed."""
    return {
        "run": str(network.run.shown),
        "checkpoint": network.checkpoint,
        "checkpoint_sha256": digest(network.run.checkpoint(network.checkpoint)),
        "split": split,
    }


def outputs_of(
    network: TrainedNetwork, split: str, say: Callable[[int], None] = lambda done: None
) -> Outputs:
    """Compute logits and features of a split.

    Args:
        network: whose data is set up for the split.
        split: "test" or "val".
        say: called with the number of images that are done, after each batch.
    """
    images, indices = network.data.images(split)
    features: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        features.append(inputs[0].detach().flatten(1).float().cpu())

    head = head_or_last(network.module)
    logits, kept = [], []
    with nullcontext() if head is None else head.register_forward_pre_hook(keep):
        for batch in network.batches(images.pixels, indices):
            logits.append(batch)
            kept += features[-1:]  # more than one if the number of threads was measured
            features.clear()
            say(sum(map(len, logits)))
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
