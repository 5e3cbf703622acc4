"""Evaluate a run: its metrics with their intervals, also of each class.

    python -m resnet_lab.evaluate logs/runs/<run> [--split val] [--checkpoint last] [--json]

Everything else comes from the run directory.
"""

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.console import console, running_command
from resnet_lab.core.text import printable
from resnet_lab.runs.trained.run import Run

# In words of their own.
SAID = ("acc", "acc_low", "acc_high", "acc_top5", "images", "loss", "mae_low", "mae_high")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    shared = ("run", "--split", "--checkpoint", "--data-dir", "--trust")
    parser = command_parser("evaluate", __doc__, *shared)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with running_command():
        run = Run.load(options.run, trust=options.trust)
        from resnet_lab.runs.trained.evaluation import evaluate  # imports torch and Lightning

        result = evaluate(run, options.split, options.checkpoint, options.data_dir)
        print(json.dumps(result, indent=2)) if options.json else _show(result)


def _show(result: dict[str, Any]) -> None:
    table = Table("class", "images", "accuracy %", "95 % interval", title_justify="left")
    classes = result["classes"]
    further = list(dict.fromkeys(key for entry in classes.values() for key in entry))
    further = [key for key in further if key not in SAID]
    for name in further:
        table.add_column(name)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [*classes.items(), *([("all", result)] if "acc" in result else [])]
    for number, (name, entry) in enumerate(rows):
        if number == len(classes):  # a class may be called "all" too
            table.add_section()
        interval = f"{100 * entry['acc_low']:.1f} to {100 * entry['acc_high']:.1f}"
        shown = Text(printable(name))  # no markup: a class may be called [red]
        values = [f"{entry[key]:.4f}" if key in entry else "" for key in further]
        table.add_row(shown, f"{entry['images']:,}", f"{100 * entry['acc']:.2f}", interval, *values)
    if classes:
        console().print(table)
    more = f", top-5 accuracy {100 * result['acc_top5']:.2f} %" if "acc_top5" in result else ""
    for name, value in result.items():
        if isinstance(value, float) and name not in SAID:
            more += f", {name} {value:.4f}"
    if "mae" in result:
        ends = f"{result['mae_low']:.4f} to {result['mae_high']:.4f}"
        more += f" (95 % interval of mae {ends}, {result['images']:,} images)"
    console().print(f"{result['split']} loss {result['loss']:.4f}{more}", highlight=False)


if __name__ == "__main__":
    main()
