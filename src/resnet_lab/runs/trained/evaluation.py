"""Measure a checkpoint of a run again."""

from typing import Any

from lightning import Trainer

from resnet_lab.core.overhead import freeze_gc
from resnet_lab.core.threads import use
from resnet_lab.runs.trained.inference import load_split
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.metrics import Sums
from resnet_lab.training.preparing.thread_choice import for_evaluation


def evaluate(
    run: Run, split: str = "test", checkpoint: str | None = None, data_dir: str | None = None
) -> dict[str, Any]:
    """Measure a checkpoint of a run on a split of its data; see `load_split` for the arguments.

    Returns:
        `acc` with its 95 % interval `acc_low`, `acc_high`, `loss` (nats), `images`, and `classes`:
        the same for each class by its name. `acc_top5` where there are many classes. Other tasks
        have other metrics in their place, see `resnet_lab.training`; those of the group `metrics`
        join them.
    """
    freeze_gc()
    checkpoint, task, facts, data = load_split(run, split, checkpoint, data_dir)
    if hasattr(data, "images"):  # not of the user's own, which is not in memory to be timed with
        images, indices = data.images(split)
        first = data.normalise(images.pixels[indices[: data.batch_size]])
        use(for_evaluation(run.config, task.net, first, -(-len(indices) // data.batch_size)))
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        precision=run.config.trainer.precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if split == "test":
        trainer.test(task, datamodule=data, verbose=False)
        sums: Sums | None = getattr(task, "test_sums", None)
    else:
        trainer.validate(task, datamodule=data, verbose=False)
        sums = getattr(task, "val_sums", None)
    about = {"run": str(run.shown), "checkpoint": checkpoint, "split": split}
    if sums is None:  # a module of the user's own, which logs what it measures
        logged = trainer.callback_metrics.items()
        values = {name.removeprefix(f"{split}/"): float(value) for name, value in logged}
        return {**about, **values, "images": data.size(split), "classes": {}}
    of_classes = sums.of_classes(facts["classes"])
    further: dict[str, float] = {}
    for name, value in task.further.compute(split, facts["classes"]).items():
        metric, _, of = name.partition("/")  # for each class, or for all of them
        (of_classes.setdefault(of, {}) if of else further)[metric] = float(value)
    return {**about, **further, **sums.result(), "classes": of_classes}
