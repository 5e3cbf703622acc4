"""Compare two runs: configurations, curves, metrics, and predictions on the same images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from resnet_lab.core.config import bears_on_result, flat
from resnet_lab.core.console import console
from resnet_lab.core.provenance import now
from resnet_lab.core.text import printable, printable_values
from resnet_lab.reporting import html
from resnet_lab.reporting.run_record import RunRecord, as_finite, as_typed
from resnet_lab.reporting.statistics import LEVEL
from resnet_lab.reporting.terminal import print_table
from resnet_lab.reporting.wording import NONE, duration, p_value
from resnet_lab.runs.run import Run

if TYPE_CHECKING:  # torch and matplotlib are imported where they are needed
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from resnet_lab.reporting.predictions import Paired

SHOWN_IMAGES = 24  # most images newly right, and newly wrong, that are drawn
HEADINGS = ["", "first", "second"]
SAME = "The configurations are the same."


@dataclass(frozen=True)
class Comparison:
    """The comparison of a second run with a first one."""

    first: Run  # the run to compare with
    second: Run  # the run that is compared
    split: str  # of the images, "test" or "val"
    config: list[list[str]]  # rows of key and both values, where these differ
    metrics: list[list[str]]  # rows of name and both recorded values
    paired: "Paired"  # the predictions of both runs on the same images

    def result(self) -> dict[str, Any]:
        """Return the result as plain types."""
        numbers = self.paired.first.numbers
        changed = (
            {}
            if numbers
            else {
                "newly_right_images": self.paired.newly_right.tolist(),
                "newly_wrong_images": self.paired.newly_wrong.tolist(),
            }
        )
        return {
            "first": str(self.first.shown),
            "second": str(self.second.shown),
            "split": self.split,
            "checkpoints": [self.paired.first.checkpoint, self.paired.second.checkpoint],
            **self.paired.result(),
            "config": {key: values for key, *values in self.config},
            **changed,
        }


def compare(
    first: Run,
    second: Run,
    split: str = "test",
    checkpoint: str | None = None,
    data_dir: str | None = None,
) -> Comparison:
    """Compare two runs on the same images; see `load_split` for the arguments.

    Raises a ValueError if a checkpoint or the data is missing, or the images differ.
    """
    from resnet_lab.reporting.predictions import pair, predict

    config, metrics = _config(first, second), _metrics(first, second)
    predictions = (predict(run, split, checkpoint, data_dir) for run in (first, second))
    return Comparison(first, second, split, config, metrics, pair(*predictions))


def page(comparison: Comparison) -> str:
    """Render the comparison as one HTML file."""
    from resnet_lab.reporting.plots.curves import learning_curves

    runs = {"first": comparison.first, "second": comparison.second}
    files = {name: run.directory / "metrics.csv" for name, run in runs.items()}
    there = {name: path for name, path in files.items() if _has_curves(path)}
    lacking = "".join(f" The {name} run has no curves." for name in files if name not in there)
    paired = comparison.paired
    changed = [("Newly right", paired.newly_right), ("Newly wrong", paired.newly_wrong)]
    if paired.first.numbers:
        changed = []
    return html.render(
        "compare.html",
        title="comparison",
        heading="Comparison of two runs",
        time=now(),
        verdict=verdict(comparison),
        names=[(name, printable(run.shown)) for name, run in runs.items()],
        headings=HEADINGS,
        metrics=comparison.metrics,
        config=comparison.config,
        same=SAME,
        curves=html.svg(learning_curves(there), "Loss and error") if there else None,
        curves_caption=f"Training dashed, validation solid.{lacking}",
        changed=[
            (title, len(found), _photographs(paired, found, title)) for title, found in changed
        ],
        shown=SHOWN_IMAGES,
    )


def verdict(comparison: Comparison) -> str:
    """Summarize which run is better on these images, and whether that is significant."""
    found = comparison.paired.result()
    if "mae" in found:
        return _verdict_on_numbers(found, comparison.split)
    low, difference, high = (
        f"{100 * found[key]:+.2f}" for key in ("difference_low", "difference", "difference_high")
    )
    better = "better" if found["difference"] > 0 else "worse"
    sure = f"the second is {better} beyond noise" if found["p"] < LEVEL else "not distinguishable"
    return (
        f"{100 * found['acc'][0]:.2f} % and {100 * found['acc'][1]:.2f} % of {found['images']:,} "
        f"{comparison.split} images: {sure} ({p_value(found['p'])}, McNemar's exact test). The "
        f"difference is {difference} points (95 % interval {low} to {high}): "
        f"{found['newly_right']:,} newly right, {found['newly_wrong']:,} newly wrong. This is "
        "about these two networks; other seeds may give others."
    )


def _verdict_on_numbers(found: dict[str, Any], split: str) -> str:
    better = "better" if found["difference"] < 0 else "worse"
    sure = f"the second is {better} beyond noise" if found["p"] < LEVEL else "not distinguishable"
    low, difference, high = (
        f"{found[key]:+.4g}" for key in ("difference_low", "difference", "difference_high")
    )
    return (
        f"mean absolute error {found['mae'][0]:.4g} and {found['mae'][1]:.4g} on "
        f"{found['images']:,} {split} images: {sure} ({p_value(found['p'])}, paired t-test "
        f"over the images). The difference is {difference} (95 % interval {low} to {high}). "
        "This is about these two networks; other seeds may give others."
    )


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison."""
    console().print()
    print_table(HEADINGS, comparison.metrics, words=HEADINGS)
    console().print()
    if comparison.config:
        print_table(HEADINGS, comparison.config, words=HEADINGS)
    else:
        console().print(SAME)
    console().print()
    console().print(verdict(comparison), markup=False, highlight=False)


def _photographs(paired: "Paired", found: "NDArray[np.int64]", title: str) -> Markup | None:
    if len(found) == 0:
        return None
    return html.png(changed_images(paired, found[:SHOWN_IMAGES]), title)


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


def _config(first: Run, second: Run) -> list[list[str]]:
    # Not resolved: a run from elsewhere must not read this machine's environment.
    sides = [flat(run.config, resolve=False) for run in (first, second)]
    keys = dict.fromkeys(key for side in sides for key in side)
    rows = []
    for key in keys:
        values = [as_typed(side[key]) if key in side else NONE for side in sides]
        if values[0] != values[1] and bears_on_result(key):
            rows.append([printable(text) for text in (key, *values)])
    return rows


def _metrics(first: Run, second: Run) -> list[list[str]]:
    """Return rows of the values that either run recorded."""
    sides = [_recorded(run) for run in (first, second)]
    names = dict.fromkeys(name for side in sides for name in side)
    return [[name, *(side.get(name, NONE) for side in sides)] for name in names]


def _recorded(run: Run) -> dict[str, str]:
    status = printable_values(run.status)
    job = RunRecord(run.directory, str(status.get("state", "unknown")), {}, status)
    recorded = {"state": job.state}
    if job.value is not None:
        epoch = f" (epoch {job.epoch})" if job.epoch is not None else ""
        recorded[f"best {job.monitor}"] = f"{job.value:.4f}{epoch}"
    if "acc" in job.tests:
        low, high = (as_finite(status["test"].get(name)) for name in ("acc_low", "acc_high"))
        interval = ""
        if low is not None and high is not None:
            interval = f" (95 % interval {100 * low:.2f} to {100 * high:.2f})"
        recorded["test accuracy (%)"] = f"{100 * job.tests['acc']:.2f}{interval}"
    nats = "acc" in job.tests and "loss._target_" not in job.config  # of no loss but the default
    for name, value in job.tests.items():
        if name != "acc":
            recorded[f"test {name}{' (nats)' * (name == 'loss' and nats)}"] = f"{value:.4f}"
    for name in ("epochs", "device", "precision"):
        if status.get(name) is not None:
            recorded[name] = str(status[name])
    if job.seconds is not None:
        recorded["time of training"] = duration(job.seconds)
    rate = as_finite(status.get("images_per_second"))
    if rate is not None:
        recorded["images/s"] = f"{rate:,.0f}"
    return recorded
