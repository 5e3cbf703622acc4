"""The page of a task that is no classification: an answer, a table, figures, the worst mistakes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnet_lab.core.files import folder_in, replacing, write
from resnet_lab.core.provenance import now
from resnet_lab.core.text import printable
from resnet_lab.reporting import html
from resnet_lab.reporting.analysis.cost import cost
from resnet_lab.reporting.analysis.outputs import Outputs, origin
from resnet_lab.reporting.analysis.words import cost_rows, facts
from resnet_lab.reporting.classify import thumbnail
from resnet_lab.reporting.pages import csv_text
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


def save_figures(figures: "dict[str, Figure]", folder: Path) -> None:
    """Write figures by name as PNG and as SVG."""
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            with replacing(folder / f"{name}.{kind}") as part:
                figure.savefig(part, format=kind, metadata={"Date": None} if kind == "svg" else {})


def write_sections(network: TrainedNetwork, found: Outputs, said: Sections, out: Path) -> Path:
    """Write `analysis.html`, `analysis.json` and the folder `analysis/`; return the page's path."""
    folder = folder_in(out, "analysis")
    each = zip(*said.columns.values(), strict=True)
    rows = [
        found.row(index) | dict(zip(said.columns, values, strict=True))
        for index, values in enumerate(each)
    ]
    numbers = origin(network, found.split) | {"images": len(found.labels)} | said.numbers
    numbers["cost"] = cost(network, found.pixels)
    write(folder / "predictions.csv", csv_text(rows))
    write(out / "analysis.json", json.dumps(numbers, indent=2) + "\n")
    named = {title.lower().replace(" ", "_"): drawn for title, (_, drawn) in said.figures.items()}
    save_figures(named, folder)
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
            (thumbnail(found.pixels[index].numpy()), found.place(index), lines)
            for index, lines in said.mistakes[:SHOWN]
        ],
        mistakes_count=len(said.mistakes),
        cost=cost_rows(numbers["cost"]),
    )
    write(out / "analysis.html", text)
    return out / "analysis.html"
