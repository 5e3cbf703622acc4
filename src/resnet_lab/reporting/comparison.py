"""Two runs side by side: configurations, curves, metrics, and what each says of the same images."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_lab.core.config import bears_on_result, flat
from resnet_lab.core.console import console
from resnet_lab.core.provenance import now
from resnet_lab.core.text import printable, printable_values
from resnet_lab.reporting import html
from resnet_lab.reporting.jobs import Job, as_finite, as_typed
from resnet_lab.reporting.statistics import LEVEL
from resnet_lab.reporting.terminal import print_table
from resnet_lab.reporting.wording import NONE, duration, p_value
from resnet_lab.runs.run import Run

if TYPE_CHECKING:  # torch and matplotlib are imported where they are needed
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from resnet_lab.reporting.predictions import Paired

SHOWN_IMAGES = 24  # of those newly right, and of those newly wrong
HEADINGS = ["", "first", "second"]
SAME = "The configurations are the same."


@dataclass(frozen=True)
class Comparison:
    """Two runs, side by side.

    Attributes:
        first: the run to compare with.
        second: the run that is compared.
        split: of the images, "test" or "val".
        config: key, and value in each run, where those differ.
        metrics: name, and value in each run, as they were recorded.
        paired: what both say of the same images.
    """

    first: Run
    second: Run
    split: str
    config: list[list[str]]
    metrics: list[list[str]]
    paired: "Paired"

    def result(self) -> dict[str, Any]:
        """Return what was found, as plain types."""
        return {
            "first": str(self.first.shown),
            "second": str(self.second.shown),
            "split": self.split,
            "checkpoints": [self.paired.first.checkpoint, self.paired.second.checkpoint],
            **self.paired.result(),
            "config": {key: values for key, *values in self.config},
            "newly_right_images": self.paired.newly_right.tolist(),
            "newly_wrong_images": self.paired.newly_wrong.tolist(),
        }


def compare(
    first: Run,
    second: Run,
    split: str = "test",
    checkpoint: str | None = None,
    data_dir: str | None = None,
) -> Comparison:
    """Compare two runs on the same images.

    Args:
        first: the run to compare with.
        second: the run that is compared.
        split: "test" or "val".
        checkpoint: "best" or "last"; None: the one that each run itself tested.
        data_dir: where the data lies now; None: where it lay when each run was trained.

    Raises:
        ValueError: a checkpoint or the data is missing, or the runs see different images.
    """
    from resnet_lab.reporting.predictions import pair, predict

    config, metrics = _config(first, second), _metrics(first, second)
    predictions = (
        predict(run, split, checkpoint or run.config.test or "last", data_dir)
        for run in (first, second)
    )
    return Comparison(first, second, split, config, metrics, pair(*predictions))


def page(comparison: Comparison) -> str:
    """Return the comparison as one HTML file."""
    runs = (("first", comparison.first), ("second", comparison.second))
    names = [(place, printable(run.shown)) for place, run in runs]
    parts = [html.lead(verdict(comparison)), html.definitions(names), html.heading("Metrics")]
    parts.append(html.table(HEADINGS, comparison.metrics, words=HEADINGS))
    parts.append(html.heading("Configuration"))
    if comparison.config:
        parts.append(html.table(HEADINGS, comparison.config, words=HEADINGS, wrapped=True))
    else:
        parts.append(html.bullets([SAME]))
    parts += _pictures(comparison)
    return html.document("comparison", "Comparison of two runs", parts, f"As of {now()}.")


def verdict(comparison: Comparison) -> str:
    """Say in a few sentences which run is better on these images, and how sure that is."""
    found = comparison.paired.result()
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


def _pictures(comparison: Comparison) -> list[str]:
    from resnet_lab.reporting.plots.curves import learning_curves

    runs = {"first": comparison.first, "second": comparison.second}
    files = {name: run.directory / "metrics.csv" for name, run in runs.items()}
    parts = [html.heading("Curves")]
    there = {name: path for name, path in files.items() if _has_curves(path)}
    if there:
        caption = "Training dashed, validation solid."
        lacking = "".join(f" The {name} run has no curves." for name in files - there.keys())
        drawn = ("Loss and error", caption + lacking, learning_curves(there))
        parts.append(html.figures([drawn], wide=True))
    else:
        parts.append(html.bullets(["Neither run has curves."]))
    paired = comparison.paired
    for name, found in (("right", paired.newly_right), ("wrong", paired.newly_wrong)):
        title = f"Newly {name}"
        parts.append(html.heading(f"{title}: {len(found):,}"))
        if len(found):
            caption = "The true class: what the first run saw → what the second saw."
            if len(found) > SHOWN_IMAGES:
                caption += f" The first {SHOWN_IMAGES} of {len(found):,}."
            parts.append(
                html.photographs(title, caption, changed_images(paired, found[:SHOWN_IMAGES]))
            )
    return parts


def _has_curves(path: Path) -> bool:
    from resnet_lab.reporting.plots.curves import read_curves

    try:
        return bool(read_curves(path))
    except ValueError:  # no file, or none that can be read: the rest is compared all the same
        return False


def changed_images(paired: "Paired", indices: "NDArray[np.int64]") -> "Figure":
    """Draw images with their true class and what each run saw."""
    from resnet_lab.reporting.plots.curves import image_grid

    first, second = paired
    titles = []
    for index in indices.tolist():
        labels = first.labels[index], first.predicted[index], second.predicted[index]
        true, before, after = (printable(first.classes[int(label)]) for label in labels)
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
    """Return what each run recorded of itself; what neither has is left out."""
    sides = [_recorded(run) for run in (first, second)]
    names = dict.fromkeys(name for side in sides for name in side)
    return [[name, *(side.get(name, NONE) for side in sides)] for name in names]


def _recorded(run: Run) -> dict[str, str]:
    status = printable_values(run.status)
    job = Job(run.directory, str(status.get("state", "unknown")), {}, status)
    said = {"state": job.state}
    if job.value is not None:
        epoch = f" (epoch {job.epoch})" if job.epoch is not None else ""
        said[f"best {job.monitor}"] = f"{job.value:.4f}{epoch}"
    if job.test is not None:
        low, high = (as_finite(status["test"].get(name)) for name in ("acc_low", "acc_high"))
        interval = ""
        if low is not None and high is not None:
            interval = f" (95 % interval {100 * low:.2f} to {100 * high:.2f})"
        said["test accuracy (%)"] = f"{100 * job.test:.2f}{interval}"
        loss = as_finite(status["test"].get("loss"))
        if loss is not None:
            said["test loss (nats)"] = f"{loss:.4f}"
    for name in ("epochs", "device", "precision"):
        if status.get(name) is not None:
            said[name] = str(status[name])
    if job.seconds is not None:
        said["time of training"] = duration(job.seconds)
    rate = as_finite(status.get("images_per_second"))
    if rate is not None:
        said["images/s"] = f"{rate:,.0f}"
    return said
