"""The files of an analysis, and the page of a task that is no classification."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnet_lab.core.files import folder_in, replacing, write
from resnet_lab.core.provenance import now
from resnet_lab.core.text import csv_text, printable
from resnet_lab.reporting import html
from resnet_lab.reporting.analysis.cost import cost
from resnet_lab.reporting.analysis.outputs import Outputs, origin
from resnet_lab.reporting.analysis.words import cost_rows, facts
from resnet_lab.reporting.wording import Table
from resnet_lab.runs.trained.inference import TrainedNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 24  # images


class Sections(NamedTuple):
    """What an analysis found.

    Attributes:
        answer: in a few sentences.
        numbers: everything that goes to `analysis.json`.
        table: a row for each label or number.
        notes: that explain the table.
        figures: caption and figure by title.
        mistakes: indices of the worst ones and lines to show below each, the worst first.
        columns: of the table of predictions, by name.
    """

    answer: str
    numbers: dict[str, Any]
    table: Table
    notes: list[str]
    figures: "dict[str, tuple[str, Figure]]"
    mistakes: list[tuple[int, str]]
    columns: dict[str, list[float]]


def write_files(
    out: Path, page: str, numbers: dict[str, Any], figures: "dict[str, Figure]",
    predictions: Iterable[dict[str, Any]],
) -> Path:  # fmt: skip
    """Write `analysis.html`, `analysis.json` and the folder `analysis/`; return the page's path.

    The folder has the predictions as CSV, and the figures by name as PNG and as SVG.
    """
    folder = folder_in(out, "analysis")
    write(folder / "predictions.csv", csv_text(predictions))
    write(out / "analysis.json", json.dumps(numbers, indent=2) + "\n")
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            with replacing(folder / f"{name}.{kind}") as part:
                figure.savefig(part, format=kind, metadata={"Date": None} if kind == "svg" else {})
    write(out / "analysis.html", page)
    return out / "analysis.html"


def write_sections(network: TrainedNetwork, found: Outputs, said: Sections, out: Path) -> Path:
    """Write the files of an analysis; see `write_files`."""
    each = zip(*said.columns.values(), strict=True)
    rows = (
        found.row(index) | dict(zip(said.columns, values, strict=True))
        for index, values in enumerate(each)
    )
    numbers = origin(network, found.split) | {"images": len(found.labels)} | said.numbers
    numbers["cost"] = cost(network, found.pixels)
    text = html.render(
        "sections.html",
        title="analysis",
        heading=f"Analysis of {printable(network.run.directory.name)}",
        time=now(),
        answer=said.answer,
        facts=facts(network, numbers),
        table=said.table,
        notes=said.notes,
        figures=[
            (title, caption, html.svg(drawn, title))
            for title, (caption, drawn) in said.figures.items()
        ],
        mistakes=[
            (html.thumbnail(found.pixels[index].numpy()), found.place(index), lines)
            for index, lines in said.mistakes[:SHOWN]
        ],
        mistakes_count=len(said.mistakes),
        cost=cost_rows(numbers["cost"]),
    )
    named = {title.lower().replace(" ", "_"): drawn for title, (_, drawn) in said.figures.items()}
    return write_files(out, text, numbers, named, rows)
