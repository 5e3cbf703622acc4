"""Images in TensorBoard: training images, mistakes on the validation split, confusion matrix."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from resnet_lab.callbacks.drawing import captioned_grid, confusion_picture
from resnet_lab.callbacks.tensorboard import writer_of
from resnet_lab.core.harmless import harmless_callback
from resnet_lab.data.facts import name_of
from resnet_lab.data.loader import Batch

CURVES = 20  # classes; with more, no precision-recall curves
MATRIX = 200  # classes; with more, no confusion matrix


@harmless_callback
class TensorBoardImages(Callback):
    """Show training images before and after augmentation, and what the validation got wrong.

    Mistakes, confusion matrix and precision-recall curves are drawn after epochs 1, 2, 5, 10, 20,
    50 and so on, and the last one: a long run has few of them, and its start is covered. In a
    distributed run they are of the images of rank zero.

    Args:
        images: number of images in a grid; 0 for none.
        validation: draw mistakes, confusion matrix and precision-recall curves.
    """

    def __init__(self, images: int = 30, validation: bool = True) -> None:
        self.images = images
        self.validation = validation
        # Images, and of each [confidence, true class, predicted class].
        self._mistakes: list[tuple[Tensor, Tensor]] = []
        self._seen: list[tuple[Tensor, Tensor]] = []  # probabilities, labels
        self._draws = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show training images before and after augmentation; not again for each job of a sweep."""
        if (Path(trainer.default_root_dir).parent / "sweep.json").exists():
            return
        data, writer = trainer.datamodule, writer_of(trainer)  # type: ignore[attr-defined]
        if writer is None or trainer.global_step or not self.images or not hasattr(data, "finish"):
            return
        images, indices = data.images("train")
        chosen = indices[torch.linspace(0, len(indices) - 1, self.images // 2).long()]
        batch = Batch(images.pixels[chosen], images.labels[chosen], data.seed)
        pairs = [data.finish(batch, augment=augment)[0].cpu() for augment in (False, True)]
        shown = _pixels(torch.stack(pairs, 1).flatten(0, 1), data.facts())
        names = [name_of(label, data.facts()["classes"]) for label in batch.labels]
        captions = [text for name in names for text in (name, "augmented")]
        writer.add_image("train/images", captioned_grid(shown, captions, columns=6), 0)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mistakes, self._seen = [], []
        epoch = trainer.current_epoch + 1
        in_series = epoch in {f * 10**n for f in (1, 2, 5) for n in range(len(str(epoch)))}
        self._draws = (
            self.validation
            and not trainer.sanity_checking
            and (in_series or epoch == trainer.max_epochs)
            and writer_of(trainer) is not None
        )

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep the probabilities, and the images of mistakes."""
        if not self._draws or not isinstance(outputs, Tensor) or not isinstance(batch, tuple):
            return
        images, labels = batch[0], batch[1]
        if outputs.ndim != 2 or labels.ndim != 1 or labels.is_floating_point():
            return  # no classes
        probabilities = outputs.float().softmax(1)
        self._seen.append((probabilities.cpu(), labels.cpu()))
        confidence, predicted = probabilities.max(1)
        wrong = predicted != labels
        facts = torch.stack((confidence, labels.float(), predicted.float()), 1)[wrong]
        most = facts[:, 0].topk(min(self.images, len(facts))).indices
        self._mistakes.append((images[wrong][most].float().cpu(), facts[most].cpu()))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the most confident mistakes, the confusion matrix, precision-recall curves."""
        writer = writer_of(trainer)
        if not self._seen or writer is None:
            return
        facts = trainer.datamodule.facts()  # type: ignore[attr-defined]
        classes, step = facts["classes"], max(trainer.global_step - 1, 0)
        probabilities, labels = (torch.cat(each) for each in zip(*self._seen, strict=True))
        images, of = (torch.cat(each) for each in zip(*self._mistakes, strict=True))
        if len(images) and self.images:
            most = of[:, 0].argsort(descending=True)[: self.images]
            captions = [
                f"{classes[int(true)]}\n{classes[int(predicted)]} {100 * confidence:.0f} %"
                for confidence, true, predicted in of[most].tolist()
            ]
            grid = captioned_grid(_pixels(images[most], facts), captions, columns=6)
            writer.add_image("val/mistakes", grid, step)
        if len(classes) <= MATRIX:
            cells = labels * len(classes) + probabilities.argmax(1)
            counts = torch.bincount(cells, minlength=len(classes) ** 2)
            picture = confusion_picture(counts.view(len(classes), -1), classes)
            writer.add_image("val/confusion", picture, step)
        if len(classes) <= CURVES:
            for label, name in enumerate(classes):
                writer.add_pr_curve(f"val/{name}", labels == label, probabilities[:, label], step)
        self._mistakes, self._seen = [], []


def _pixels(images: Tensor, facts: dict[str, list[float]]) -> Tensor:
    """Undo the normalisation of images [N, C, H, W]."""
    mean, std = (torch.tensor(facts[key])[:, None, None] for key in ("mean", "std"))
    return images * std + mean
