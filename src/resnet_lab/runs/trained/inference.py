"""The trained network of a run, with what it needs to read images as in training."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from resnet_lab.core.configuration.config import is_finite_number
from resnet_lab.core.console import quiet_lightning
from resnet_lab.core.device import is_cpu
from resnet_lab.core.threads import use
from resnet_lab.data.decoding import decode
from resnet_lab.data.decoding.decode import Form
from resnet_lab.data.sources.base import PictureSource
from resnet_lab.data.transforms.views import VIEWS
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.preparing.thread_choice import for_evaluation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resnet_lab.data import ImageDataModule
    from resnet_lab.data.facts import Facts
    from resnet_lab.training.image_task import ImageTask

BATCH = 500  # images; without gradients, memory is no concern

Picture = str | Path | Image.Image
Pictures = Picture | Sequence[Picture]


def load_split(
    run: Run, split: str, checkpoint: str | None = None, data_dir: str | None = None
) -> "tuple[str, ImageTask, Facts, ImageDataModule]":
    """Load a checkpoint of a run, and a split of its data, "test" or "val".

    The checkpoint is "best", "last" or a path; None: the one that the run itself tested. The data
    lies in `data_dir` now; None: where it lay when the run was trained. Returns the checkpoint, the
    task in evaluation mode, the facts of its data, and the data.
    """
    quiet_lightning()
    if data_dir is not None:
        run.move_data(data_dir)
    checkpoint = checkpoint or run.config.test or "last"
    task, facts = run.load_task(checkpoint)
    data = run.build_data(facts)
    data.prepare_data()
    data.setup("test" if split == "test" else "validate")
    if data.size(split) == 0:
        raise ValueError(f"{run.shown} was trained without a validation split: use --split test")
    return checkpoint, task, facts, data


def load(
    directory: str | Path,
    checkpoint: str | None = None,
    *,
    device: str = "auto",
    calibrated: bool = False,
    trust: bool = False,
) -> "TrainedNetwork":
    """Load the trained network of a run.

    Args:
        directory: of the run.
        checkpoint: "best", "last" or a path; None: the one that the run itself tested.
        device: "auto", "cpu" or "gpu".
        calibrated: whether probabilities take the temperature that `analyse` has fitted.
        trust: whether to build whatever the configuration names; see `core.configuration.trust`.

    Raises:
        ValueError: no such run, checkpoint or device, or no temperature for this checkpoint.
    """
    run = Run.load(directory, trust=trust)
    leave_uncompiled(run)
    quiet_lightning()
    checkpoint = checkpoint or run.config.test or "last"
    task, facts = run.load_task(checkpoint)
    network = TrainedNetwork(run, checkpoint, task, facts, run.build_data(facts), device)
    if calibrated:
        network.temperature = fitted_temperature(run, checkpoint)
    return network


def leave_uncompiled(run: Run) -> None:
    """Leave TorchInductor out: it takes a minute, and compiled layers call no hooks."""
    if run.config.task.get("compile"):
        run.config.task.compile = False


def check_classifies(run: Run, task: object) -> None:
    """Raise a ValueError for a run whose images do not have one class each."""
    from resnet_lab.training.task import ImageClassifier

    if not isinstance(task, ImageClassifier):
        raise ValueError(
            f"{run.shown} was trained by {type(task).__name__}: predictions and export "
            "need one class for each image; use resnet-evaluate, resnet-analyse and resnet-compare"
        )


def fitted_temperature(run: Run, checkpoint: str) -> float:
    """Return the temperature that `analyse` has fitted on the validation split."""
    path, way_out = run.directory / "analysis.json", f"run: resnet-analyse {run.shown}"
    try:
        found = json.loads(path.read_text())
        value, digest = found["temperature"], found["checkpoint_sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{run.shown} has no fitted temperature; {way_out}") from None
    if digest != hashlib.sha256(run.checkpoint(checkpoint).read_bytes()).hexdigest():
        raise ValueError(
            f"{run.shown}: the temperature was fitted to other weights than {checkpoint}; {way_out}"
        )
    if not is_finite_number(value) or value <= 0:
        raise ValueError(
            f"{run.shown} has no fitted temperature (its analysis found no validation split)"
        )
    return float(value)


class TrainedNetwork:
    """A trained network: decodes, fits and normalises images as in training, and classifies them.

    Computes in the precision that the run was trained with, without gradients; `module` is the
    plain network, for everything else.

    The task is in evaluation mode, with the weights of the checkpoint; the data module need not be
    set up.
    """

    def __init__(
        self,
        run: Run,
        checkpoint: str,
        task: "ImageTask",
        facts: "Facts",
        data: "ImageDataModule",
        device: str = "auto",
    ) -> None:
        from lightning.fabric import Fabric

        if device not in ("auto", "cpu", "gpu"):
            raise ValueError(f"device={device}: must be auto, cpu or gpu")
        if device == "gpu" and is_cpu("auto"):
            raise ValueError("device=gpu: PyTorch finds none here; use auto or cpu")
        self.run = run
        self.checkpoint = checkpoint
        self.classes = facts["classes"]
        self.facts = facts
        self.data = data
        self.module: nn.Module = task.net
        self.task = task
        precision = run.config.trainer.precision
        self._fabric = Fabric(accelerator=device, devices=1, precision=precision)
        self._fabric.setup_module(task.net)
        self.device = self._fabric.device
        self.temperature = 1.0  # that logits are divided by before the softmax
        self._threads: int | None = None  # not measured yet
        source: Any = data.source
        if isinstance(source, PictureSource) and source.image_size is not None:
            self.form = replace(source.form, channels=facts["channels"])
        else:
            self.form = Form.of(
                facts["image_size"],
                facts["channels"],
                getattr(data, "fit", None) or "crop",
                getattr(source, "range", "auto"),
            )

    def __call__(self, images: "Tensor | NDArray[np.uint8] | Pictures") -> Tensor:
        """Compute logits, float32 [N, classes] on the CPU; of what `pixels` takes."""
        return torch.cat(list(self.batches(self.pixels(images))))

    def predict_probabilities(
        self, images: "Tensor | NDArray[np.uint8] | Pictures", *, augment: str | None = None
    ) -> Tensor:
        """Compute the probability of each class, float32 [N, classes] on the CPU.

        With `augment` it is the mean over versions of each image, see `VIEWS`. Raises a ValueError
        if the images of the run do not have one class each.
        """
        check_classifies(self.run, self.task)
        pixels = self.pixels(images)
        views = VIEWS[augment](pixels) if augment else [pixels]
        logits = torch.stack([torch.cat(list(self.batches(view))) for view in views])
        return (logits / self.temperature).softmax(2).mean(0)

    def pixels(self, images: "Tensor | NDArray[np.uint8] | Pictures") -> Tensor:
        """Return images as the training data holds them, uint8 [N, H, W, C]; pictures are decoded.

        They are such an array; or a path or a PIL image, or several of them. Raises a ValueError
        for an array of another kind, and whatever Pillow raises for a file that it cannot read.
        """
        if isinstance(images, Tensor | np.ndarray):
            pixels = torch.as_tensor(images)
            channels = self.form.channels
            if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != channels:
                raise ValueError(
                    f"images of {pixels.dtype} {tuple(pixels.shape)}: must be uint8 "
                    f"[N, H, W, {channels}]"
                )
            return pixels
        several = [images] if isinstance(images, str | Path | Image.Image) else images
        decoded = [
            decode.to_pixels(picture, self.form)
            if isinstance(picture, Image.Image)
            else decode.load(Path(picture), self.form)
            for picture in several
        ]
        return torch.from_numpy(np.stack(decoded))

    def batches(self, pixels: Tensor, indices: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the logits of images, uint8 [N, H, W, C]: of all, or of those at `indices`.

        They are float32 [B, classes] on the CPU, of at most `BATCH` images.
        """
        parts = torch.split(torch.arange(len(pixels)) if indices is None else indices, BATCH)
        if self._threads is None:
            first = self.normalised(pixels[parts[0]])
            self._threads = for_evaluation(self.run.config, self.forward, first, len(parts))
        use(self._threads)
        for part in parts:
            with torch.inference_mode():
                logits = self.forward(self.normalised(pixels[part]))
            yield logits.cpu()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of normalised images, on the device; gradients are kept."""
        parameter = next(self.module.parameters(), inputs)
        with self._fabric.autocast():
            logits: Tensor = self.module(inputs.to(parameter.dtype))
        return logits.float()

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return the input of the network for uint8 [N, H, W, C], on its device."""
        return self.task.arrange(self.data.normalise(pixels.to(self.device)))
