"""Evaluate a run: accuracy with its interval, loss, and the accuracy of each class.

    python -m resnet_lab.evaluate logs/runs/<run> [--split val] [--checkpoint last] [--json]

Everything else comes from the run directory.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from resnet_lab.core.config import register_resolvers
from resnet_lab.core.console import console, errors_in_one_line, quiet_lightning, set_up_logging
from resnet_lab.core.overhead import freeze_gc, reduced_overhead
from resnet_lab.core.text import printable
from resnet_lab.core.trust import TRUST
from resnet_lab.runs.run import Run


def evaluate(
    run: Run, split: str = "test", checkpoint: str | None = None, data_dir: str | None = None
) -> dict[str, Any]:
    """Measure a checkpoint of a run on a split of its data.

    Args:
        run: a run directory.
        split: "test" or "val".
        checkpoint: "best", "last" or a path; None: the one that the run itself tested.
        data_dir: where the data lies now; None: where it lay when the run was trained.

    Returns:
        `acc` with its 95 % interval `acc_low`, `acc_high`, `loss` (nats), `images`, and `classes`:
        the same for each class by its name. `acc_top5` where there are many classes.

    Raises:
        ValueError: no such checkpoint or data, or the data has another number of classes.
    """
    from lightning import Trainer

    from resnet_lab.core.threads import use
    from resnet_lab.training.metrics import proportion
    from resnet_lab.training.thread_choice import for_evaluation

    freeze_gc()
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
    use(for_evaluation(run.config, task.net, data, split, data.batch_size))
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
        sums = task.test_sums
    else:
        trainer.validate(task, datamodule=data, verbose=False)
        sums = task.val_sums
    counts = sums.compute()
    return {
        "run": str(run.shown),
        "checkpoint": checkpoint,
        "split": split,
        **sums.result(),
        "classes": {
            name: proportion(int(correct), int(seen))
            for name, correct, seen in zip(
                facts["classes"], counts["correct"], counts["seen"], strict=True
            )
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m resnet_lab.evaluate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", help="run directory")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument(
        "--checkpoint", help="best, last or a path (default: the one that the run tested)"
    )
    parser.add_argument("--data-dir", help="where the data lies now")
    parser.add_argument("--trust", action="store_true", help=TRUST)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    register_resolvers()
    set_up_logging()
    with reduced_overhead(), errors_in_one_line():
        run = Run.load(options.run, trust=options.trust)
        result = evaluate(run, options.split, options.checkpoint, options.data_dir)
        print(json.dumps(result, indent=2)) if options.json else _show(result)


def _show(result: dict[str, Any]) -> None:
    table = Table("class", "images", "accuracy %", "95 % interval", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    classes = result["classes"]
    rows = [*classes.items(), ("all", result)]
    for number, (name, entry) in enumerate(rows):
        if number == len(classes):  # a class may be called "all" too
            table.add_section()
        interval = f"{100 * entry['acc_low']:.1f} to {100 * entry['acc_high']:.1f}"
        shown = Text(printable(name))  # no markup: a class may be called [red]
        table.add_row(shown, f"{entry['images']:,}", f"{100 * entry['acc']:.2f}", interval)
    console().print(table)
    more = f", top-5 accuracy {100 * result['acc_top5']:.2f} %" if "acc_top5" in result else ""
    console().print(f"{result['split']} loss {result['loss']:.4f}{more}", highlight=False)


if __name__ == "__main__":
    main()
