"""Compare runs: configurations, curves, metrics, and predictions on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from resnet_lab.core.console import console
from resnet_lab.core.provenance import now
from resnet_lab.core.text import printable
from resnet_lab.reporting import html
from resnet_lab.reporting.comparing.rows import config_rows, metric_rows, names_of
from resnet_lab.reporting.statistics import LEVEL, holm
from resnet_lab.reporting.terminal import print_rows, print_table
from resnet_lab.reporting.wording import p_value
from resnet_lab.runs.trained.run import Run

if TYPE_CHECKING:  # torch and matplotlib are imported where they are needed
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from resnet_lab.reporting.comparing.predictions import Paired

SHOWN_IMAGES = 24  # most images newly right, and newly wrong, that are drawn
SAME = "The configurations are the same."


@dataclass(frozen=True)
class Comparison:
    """The comparison of runs with the first of them.

    Attributes:
        runs: two or more.
        names: of the runs, short and distinct.
        split: of the images, "test" or "val".
        config: rows of key and each run's value, where these differ.
        metrics: rows of name and each run's recorded value.
        pairs: the predictions of the first run and of each other one on the same images.
    """

    runs: Sequence[Run]
    names: list[str]
    split: str
    config: list[list[str]]
    metrics: list[list[str]]
    pairs: "Sequence[Paired]"

    def results(self) -> list[dict[str, Any]]:
        """Return the result of each pair; `p_holm` is corrected for the number of pairs."""
        found = [paired.result() for paired in self.pairs]
        corrected = holm([each["p"] for each in found])
        return [each | {"p_holm": p} for each, p in zip(found, corrected, strict=True)]

    def result(self) -> dict[str, Any]:
        """Return everything as plain types."""
        comparisons = []
        for run, paired, found in zip(self.runs[1:], self.pairs, self.results(), strict=True):
            entry = {
                "first": str(self.runs[0].shown),
                "second": str(run.shown),
                "checkpoints": [paired.first.checkpoint, paired.second.checkpoint],
                **found,
            }
            if not paired.first.numbers:
                entry["newly_right_images"] = paired.newly_right.tolist()
                entry["newly_wrong_images"] = paired.newly_wrong.tolist()
            comparisons.append(entry)
        return {
            "runs": [str(run.shown) for run in self.runs],
            "split": self.split,
            "config": {key: values for key, *values in self.config},
            "comparisons": comparisons,
        }


def compare(
    runs: Sequence[Run],
    split: str = "test",
    checkpoint: str | None = None,
    data_dir: str | None = None,
) -> Comparison:
    """Compare runs with the first of them, on the same images; see `load_split`.

    Args:
        runs: two or more.
        split: "test" or "val".
        checkpoint: "best" or "last"; None: the one that each run tested.
        data_dir: directory of the data; None: the one that each run was trained with.

    Raises:
        ValueError: a checkpoint or the data is missing, or the images differ.
    """
    from resnet_lab.reporting.comparing.predictions import pair, predict

    config, metrics = config_rows(runs), metric_rows(runs)
    first, *others = (predict(run, split, checkpoint, data_dir) for run in runs)
    pairs = [pair(first, other) for other in others]
    return Comparison(runs, names_of(runs, config), split, config, metrics, pairs)


def page(comparison: Comparison) -> str:
    """Render the comparison as one HTML file."""
    from resnet_lab.reporting.plots.curves import learning_curves

    named = list(zip(comparison.names, comparison.runs, strict=True))
    files = {name: run.directory / "metrics.csv" for name, run in named}
    there = {name: path for name, path in files.items() if _has_curves(path)}
    lacking = "".join(f" {name} has no curves." for name in files if name not in there)
    changed = [
        (f"Newly {what} in {name}", len(found), _drawn(paired, found, f"Newly {what} in {name}"))
        for name, paired in zip(comparison.names[1:], comparison.pairs, strict=True)
        if not paired.first.numbers
        for what, found in (("right", paired.newly_right), ("wrong", paired.newly_wrong))
    ]
    return html.render(
        "compare.html",
        title="comparison",
        heading=f"Comparison of {len(comparison.runs)} runs",
        time=now(),
        verdicts=verdicts(comparison),
        names=[(name, printable(run.shown)) for name, run in named],
        headings=["", *comparison.names],
        metrics=comparison.metrics,
        config=comparison.config,
        same=SAME,
        curves=html.svg(learning_curves(there), "Loss and error") if there else None,
        curves_caption=f"Training dashed, validation solid.{lacking}",
        changed=changed,
        shown=SHOWN_IMAGES,
    )


def verdicts(comparison: Comparison) -> list[str]:
    """Summarize which runs are better on these images, and whether that is significant."""
    first, *others = comparison.names
    pairs = zip(others, comparison.results(), strict=True)
    said = [_verdict(first, name, found, comparison.split) for name, found in pairs]
    several = f"p is corrected for {len(said)} comparisons (Holm). " if len(said) > 1 else ""
    return [*said, f"{several}This is about these networks; other seeds may give others."]


def _verdict(first: str, second: str, found: dict[str, Any], split: str) -> str:
    numbers = "mae" in found
    better = (found["difference"] > 0) != numbers
    sure = f"{second} is {'better' if better else 'worse'} beyond noise"
    sure = sure if found["p_holm"] < LEVEL else "not distinguishable"
    low, difference, high = (
        f"{found[key]:+.4g}" if numbers else f"{100 * found[key]:+.2f}"
        for key in ("difference_low", "difference", "difference_high")
    )
    images, p = f"{found['images']:,} {split} images", p_value(found["p_holm"])
    if numbers:
        return (
            f"Mean absolute error of {first} {found['mae'][0]:.4g} and of {second} "
            f"{found['mae'][1]:.4g} on {images}: {sure} ({p}, paired t-test over the images). The "
            f"difference is {difference} (95 % interval {low} to {high})."
        )
    return (
        f"{first} has {100 * found['acc'][0]:.2f} % and {second} {100 * found['acc'][1]:.2f} % of "
        f"{images} right: {sure} ({p}, McNemar's exact test). The difference is {difference} "
        f"points (95 % interval {low} to {high}): {found['newly_right']:,} newly right, "
        f"{found['newly_wrong']:,} newly wrong."
    )


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison."""
    out, headings = console(), ["", *comparison.names]
    out.print()
    print_rows([*zip(comparison.names, (str(run.shown) for run in comparison.runs), strict=True)])
    out.print()
    print_table(headings, comparison.metrics, words=headings)
    out.print()
    if comparison.config:
        print_table(headings, comparison.config, words=headings)
    else:
        out.print(SAME)
    out.print()
    for line in verdicts(comparison):
        out.print(line, markup=False, highlight=False)


def _drawn(paired: "Paired", found: "NDArray[np.int64]", title: str) -> Markup | None:
    drawn = found[:SHOWN_IMAGES]
    return html.png(changed_images(paired, drawn), title) if len(drawn) else None


def _has_curves(path: Path) -> bool:
    from resnet_lab.reporting.plots.curves import read_curves

    try:
        return bool(read_curves(path))
    except ValueError:  # no readable file; the rest can be compared
        return False


def changed_images(paired: "Paired", indices: "NDArray[np.int64]") -> "Figure":
    """Draw images with their true class and both predictions."""
    from resnet_lab.data.facts import name_of
    from resnet_lab.reporting.plots.images import image_grid

    first, second = paired
    titles = []
    for index in indices.tolist():
        labels = first.labels[index], first.predicted[index], second.predicted[index]
        true, before, after = (printable(name_of(label, first.classes)) for label in labels)
        titles.append(f"{true}: {before} → {after}")
    return image_grid(first.pixels[indices].numpy(), titles, columns=8)
