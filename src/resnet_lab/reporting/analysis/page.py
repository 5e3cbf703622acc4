"""The files of an analysis: a page, its figures, its numbers, the predictions."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_lab.core.harmless import harmless
from resnet_lab.core.provenance import now
from resnet_lab.core.text import printable
from resnet_lab.reporting import html
from resnet_lab.reporting.analysis import words
from resnet_lab.reporting.analysis.analysis import Analysis, analyse_outputs
from resnet_lab.reporting.analysis.classes import top_confusions
from resnet_lab.reporting.analysis.inside import first_filters, overlaid
from resnet_lab.reporting.analysis.multilabel import analyse_labels
from resnet_lab.reporting.analysis.outputs import outputs_of_run, validation_of
from resnet_lab.reporting.analysis.regression import analyse_numbers
from resnet_lab.reporting.analysis.sections import write_files, write_sections
from resnet_lab.runs.trained.run import Run
from resnet_lab.training.multilabel import MultiLabelClassifier
from resnet_lab.training.regression import ImageRegressor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DUPLICATES = 12  # pairs
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
) -> tuple[str, Path]:
    """Analyse a run and write the files; see `analyse` and `write_analysis`.

    Returns:
        The answer in a few sentences, and the path of the page.
    """
    network, found = outputs_of_run(run, split, checkpoint, data_dir, say)
    out = Path(out or run.directory)
    if isinstance(network.task, MultiLabelClassifier):
        said = analyse_labels(network, found, validation_of(network, found))
    elif isinstance(network.task, ImageRegressor):
        said = analyse_numbers(network, found)
    else:
        analysis = analyse_outputs(network, found, say)
        say("drawing")
        return words.answer(analysis), write_analysis(analysis, out)
    return said.answer, write_sections(network, found, said, out)


def write_analysis(analysis: Analysis, out: Path) -> Path:
    """Write the page and the files of an analysis into a directory; see `write_files`."""
    drawn = figures(analysis)
    text = page(analysis, drawn)
    return write_files(out, text, analysis.numbers, drawn, predictions(analysis))


def figures(analysis: Analysis) -> "dict[str, Figure]":
    """Draw the figures, by name; curves that cannot be drawn are left out."""
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
    """Render the analysis and its figures, by name, as one HTML file."""
    numbers = analysis.numbers
    maps, side = _maps(analysis)
    return html.render(
        "analysis.html",
        title="analysis",
        heading=f"Analysis of {printable(analysis.network.run.directory.name)}",
        time=now(),
        answer=words.answer(analysis),
        facts=words.facts(analysis.network, numbers),
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
        duplicates=_duplicates(analysis),
        duplicates_count=len(analysis.pairs),
        calibration=words.calibration_table(analysis),
        maps=maps,
        map_size=side,
        cost=words.cost_rows(numbers["cost"]),
        points=len(analysis.plane.get("indices", ())),
    )


def _confusions(analysis: Analysis) -> list[tuple[str, list[Tile]]]:
    found, classes = analysis.found, analysis.classes
    groups = []
    for true, said, count in top_confusions(analysis.counts):
        chosen = ((found.labels == true) & (found.predicted == said)).nonzero().flatten()
        order = found.confidence[chosen].argsort(descending=True)[:EXAMPLES]
        of = f"{count:,} of {int(analysis.counts[true].sum()):,}"
        heading = f"{classes[true]} taken for {classes[said]}: {of}"
        groups.append((heading, _tiles(analysis, chosen[order].tolist())))
    return groups


def _tiles(
    analysis: Analysis, indices: Sequence[int], images: NDArray[np.uint8] | None = None
) -> list[Tile]:
    """Return an image, its place, and its classes, for each index."""
    found = analysis.found
    if images is None:
        images = found.pixels[list(indices)].numpy()
    tiles = []
    for shown, index in zip(images, indices, strict=True):
        true, said = int(found.labels[index]), int(found.predicted[index])
        probabilities = 100 * found.logits[index].softmax(0)
        lines = [f"{analysis.classes[said]} ({probabilities[said]:.1f}\u00a0%)"]
        if true != said:
            lines += [f"labelled {analysis.classes[true]} ({probabilities[true]:.1f}\u00a0%)"]
        tiles.append((html.thumbnail(shown), found.place(index), "\n".join(lines)))
    return tiles


def _duplicates(analysis: Analysis) -> list[Tile]:
    """Return tiles of an image and the training image that is like it, side by side."""
    found = analysis.found
    tiles = []
    for pair in analysis.pairs[:DUPLICATES]:
        both = torch.cat([found.pixels[pair.image], pair.pixels], 1)
        labels = (analysis.classes[int(found.labels[pair.image])], analysis.classes[pair.label])
        lines = f"{' | '.join(labels)}\ntraining image {pair.training}, {pair.correlation:.4f}"
        tiles.append((html.thumbnail(both.numpy()), found.place(pair.image), lines))
    return tiles


def _maps(analysis: Analysis) -> tuple[list[tuple[str, list[Tile]]], str]:
    """Return tiles of Grad-CAM, image and map side by side, of mistakes and of hits."""
    if analysis.maps is None or not analysis.maps[0]:
        return [], ""
    indices, maps, sides = analysis.maps
    pixels = analysis.found.pixels[indices]
    enlarge = max(1, -(-LARGER // min(pixels.shape[1:3])))
    colour = pixels.expand(-1, -1, -1, 3)
    both = torch.cat([colour, torch.from_numpy(overlaid(pixels, maps))], 2)
    large = both.repeat_interleave(enlarge, 1).repeat_interleave(enlarge, 2).numpy()
    wrong = int((~analysis.found.right[indices]).sum())
    parts = {"Mistakes": slice(0, wrong), "Hits": slice(wrong, None)}
    groups = [
        (name, _tiles(analysis, indices[part], large[part]))
        for name, part in parts.items()
        if indices[part]
    ]
    return groups, " x ".join(map(str, sides))


def predictions(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield a row for each image: truth, prediction, loss, top 5, probabilities."""
    found, classes = analysis.found, analysis.classes
    best = found.probabilities.topk(min(5, len(classes)), 1)
    rows = zip(
        found.labels.tolist(), found.losses.tolist(), best.indices.tolist(), best.values.tolist(),
        found.probabilities.tolist(), strict=True,
    )  # fmt: skip
    for index, (label, loss, labels, values, probabilities) in enumerate(rows):
        row = found.row(index) | {"true": classes[label], "predicted": classes[labels[0]]}
        row["loss"] = round(loss, 6)
        for place, (said, value) in enumerate(zip(labels, values, strict=True), 1):
            row |= {f"class_{place}": classes[said], f"probability_{place}": round(value, 6)}
        if len(classes) <= LISTED:
            row |= {
                f"p({name})": round(value, 6)
                for name, value in zip(classes, probabilities, strict=True)
            }
        yield row
