"""The files of an analysis: a page, its figures, its numbers, the predictions."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_lab.core.files import folder_in, replacing, write
from resnet_lab.core.harmless import harmless
from resnet_lab.core.provenance import now
from resnet_lab.core.text import csv_cell, printable
from resnet_lab.reporting import html
from resnet_lab.reporting.analysis import words
from resnet_lab.reporting.analysis.analysis import Analysis, analyse
from resnet_lab.reporting.analysis.classes import top_confusions
from resnet_lab.reporting.analysis.inside import first_filters, overlaid
from resnet_lab.reporting.classify import thumbnail
from resnet_lab.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 6  # images of a confusion
LISTED = 100  # classes up to which the CSV has the probabilities of all
LARGER = 96  # pixels: images are enlarged to at least that for Grad-CAM

Tile = tuple[str, str, str]


def analyse_and_write(
    run: Run,
    split: str = "test",
    checkpoint: str | None = None,
    data_dir: str | None = None,
    out: str | Path | None = None,
    say: Callable[[str], None] = lambda step: None,
) -> tuple[Analysis, Path]:
    """Analyse a run and write the files; see `analyse` and `write_analysis`."""
    analysis = analyse(run, split, checkpoint, data_dir, say)
    say("drawing")
    return analysis, write_analysis(analysis, Path(out or run.directory))


def write_analysis(analysis: Analysis, out: Path) -> Path:
    """Write `analysis.html`, `analysis.json` and the folder `analysis/`.

    Args:
        analysis: the analysis.
        out: directory of the files.

    Returns:
        The path of the page.
    """
    folder = folder_in(out, "analysis")
    write(folder / "predictions.csv", predictions_csv(analysis))
    write(out / "analysis.json", json.dumps(analysis.numbers, indent=2) + "\n")
    drawn = figures(analysis)
    for name, figure in drawn.items():
        for kind in ("png", "svg"):
            with replacing(folder / f"{name}.{kind}") as part:
                figure.savefig(part, format=kind, metadata={"Date": None} if kind == "svg" else {})
    write(out / "analysis.html", page(analysis, drawn))
    return out / "analysis.html"


def figures(analysis: Analysis) -> "dict[str, Figure]":
    """Draw the figures; one that cannot be drawn is left out."""
    from resnet_lab.reporting.analysis import figures as draw
    from resnet_lab.reporting.plots.curves import learning_curves
    from resnet_lab.reporting.plots.images import NUMBERED_CLASSES, confusion_matrix

    numbers, network = analysis.numbers, analysis.network
    counts, classes = analysis.counts, analysis.classes
    drawn = {"confusion": confusion_matrix(counts, classes)}
    if len(classes) <= NUMBERED_CLASSES:
        drawn["confusion_counts"] = confusion_matrix(counts, classes, shares=False)
    measured = {"as trained": numbers["calibration"]}
    if numbers["calibrated"] is not None:
        measured[f"temperature {numbers['temperature']:.2f}"] = numbers["calibrated"]
    drawn["reliability"] = draw.reliability(measured)
    if analysis.plane:
        labels = analysis.found.labels.numpy()[analysis.plane["indices"]]
        drawn["features"] = draw.plane(analysis.plane, labels, analysis.classes)
    if (images := first_filters(network.module)) is not None:
        drawn["filters"] = draw.filters(images)
    curves = network.run.directory / "metrics.csv"
    if curves.is_file():
        with harmless("drawing the curves"):
            drawn["curves"] = learning_curves({network.run.directory.name: curves})
    return drawn


def page(analysis: Analysis, drawn: "dict[str, Figure]") -> str:
    """Render the analysis as one HTML file.

    Args:
        analysis: the analysis.
        drawn: figures by name.
    """
    numbers = analysis.numbers
    maps, side = _maps(analysis)
    return html.render(
        "analysis.html",
        title="analysis",
        heading=f"Analysis of {printable(analysis.network.run.directory.name)}",
        time=now(),
        answer=words.answer(analysis),
        facts=words.facts(analysis),
        figures={
            name: (html.png if name == "filters" else html.svg)(figure, name)
            for name, figure in drawn.items()
        },
        classes=words.class_table(analysis),
        confusions=_confusions(analysis),
        mistakes=_tiles(analysis, numbers["confident_mistakes"]),
        mistakes_count=int((~analysis.found.right).sum()),
        hits=_tiles(analysis, numbers["hesitant_hits"]),
        doubtful=_tiles(analysis, numbers["doubtful_labels"]),
        calibration=words.calibration_table(analysis),
        maps=maps,
        map_size=side,
        cost=words.cost_rows(analysis),
        points=len(analysis.plane.get("indices", ())),
    )


def _confusions(analysis: Analysis) -> list[tuple[str, list[Tile]]]:
    found = analysis.found
    groups = []
    for true, said, count in top_confusions(analysis.counts):
        chosen = ((found.labels == true) & (found.predicted == said)).nonzero().flatten()
        order = found.confidence[chosen].argsort(descending=True)[:EXAMPLES]
        total = int(analysis.counts[true].sum())
        heading = (
            f"{analysis.classes[true]} taken for {analysis.classes[said]}: {count:,} of {total:,}"
        )
        groups.append((heading, _tiles(analysis, chosen[order].tolist())))
    return groups


def _tiles(
    analysis: Analysis, indices: Sequence[int], images: NDArray[np.uint8] | None = None
) -> list[Tile]:
    """Return an image, its place, and its classes, for each index."""
    found = analysis.found
    tiles = []
    for place, index in enumerate(indices):
        true, said = int(found.labels[index]), int(found.predicted[index])
        probabilities = 100 * found.probabilities[index]
        lines = [f"{analysis.classes[said]} ({probabilities[said]:.1f}\u00a0%)"]
        if true != said:
            lines += [f"labelled {analysis.classes[true]} ({probabilities[true]:.1f}\u00a0%)"]
        where = printable(found.paths[index]) if found.paths else f"{found.split} image {index}"
        shown = found.pixels[index].numpy() if images is None else images[place]
        tiles.append((thumbnail(shown), where, "\n".join(lines)))
    return tiles


def _maps(analysis: Analysis) -> tuple[list[tuple[str, list[Tile]]], str]:
    """Return tiles of Grad-CAM, image and map side by side, of mistakes and of hits."""
    if analysis.maps is None:
        return [], ""
    indices, maps, sides = analysis.maps
    if not indices:
        return [], ""
    pixels = analysis.found.pixels[indices]
    enlarge = max(1, -(-LARGER // min(pixels.shape[1:3])))
    colour = pixels.expand(-1, -1, -1, 3)
    both = torch.cat([colour, torch.from_numpy(overlaid(pixels, maps))], 2)
    large = both.repeat_interleave(enlarge, 1).repeat_interleave(enlarge, 2).numpy()
    wrong = int((~analysis.found.right[indices]).sum())
    groups = []
    for name, part in (("Mistakes", slice(0, wrong)), ("Hits", slice(wrong, None))):
        if indices[part]:
            groups.append((name, _tiles(analysis, indices[part], large[part])))
    return groups, " x ".join(map(str, sides))


def predictions_csv(analysis: Analysis) -> str:
    """Format one row for each image: truth, prediction, loss, top 5, probabilities."""
    found, classes = analysis.found, analysis.classes
    top = min(5, len(classes))
    listed = classes if len(classes) <= LISTED else []
    head: list[Any] = ["index", *(["path"] if found.paths else []), "true", "predicted", "loss"]
    for place in range(1, top + 1):
        head += [f"class_{place}", f"probability_{place}"]
    head += [f"p({name})" for name in listed]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, head))
    best = found.probabilities.topk(top, 1)
    rows = zip(
        found.labels.tolist(), found.losses.tolist(), best.indices.tolist(), best.values.tolist(),
        found.probabilities.tolist(), strict=True,
    )  # fmt: skip
    for index, (label, loss, labels, values, probabilities) in enumerate(rows):
        row: list[Any] = [index, *([str(found.paths[index])] if found.paths else [])]
        row += [classes[label], classes[labels[0]], round(loss, 6)]
        for place, value in zip(labels, values, strict=True):
            row += [classes[place], round(value, 6)]
        row += [round(value, 6) for value in probabilities] if listed else []
        writer.writerow(map(csv_cell, row))
    return text.getvalue()
