"""Modern networks are overconfident, and one number mends it (Guo et al. 2017, arXiv:1706.04599).

The expected calibration error (ECE) over 15 bins of equal width, before and after the logits are
divided by a temperature that minimises the cross-entropy. For a split that the network was not
chosen on, the temperature of each half of the images is fitted on the other half.

Pitfalls: ECE is above 0 for perfect probabilities too; it says nothing of accuracy; a temperature
that is fitted on the images it is measured on looks better than it is.

Control: labels drawn from the very probabilities of the network. Nothing is to be mended there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_lab.findings.finding import Check, Interval, Measured, Options, Statistic, bootstrap
from resnet_lab.findings.subjects import Subject
from resnet_lab.reporting.analysis import figures
from resnet_lab.reporting.analysis.calibration import (
    bin_means,
    calibration_error,
    equal_width_bins,
    fitted_temperature,
)
from resnet_lab.reporting.plots.drawing import Plot
from resnet_lab.reporting.plots.figure import look, new_axes, tidy

TITLE = "Calibration: sure, too sure, and mended by one number"
PAPER = "Guo et al. 2017, table 1: ResNet-110 on CIFAR-10, ECE 4.6 % and 0.83 % after temperature"
NEEDS = "trained networks"
MINUTES = "2 for ResNet-20, 32, 44 and 56 together"
EXPLAINED = (
    "A network says how sure it is of each answer. Of the images where it says 90 %, nine in ten "
    "should be right. Deep networks say more than that: they go on lowering the training loss by "
    "raising their confidence. Dividing all logits by one number, the temperature, changes no "
    "answer and mends most of it."
)
IMAGES = None
UNTRAINED = False
OF_SWEEPS = False

ECE_110 = (0.025, 0.065)  # P: around the 4.6 % of ResNet-110 on CIFAR-10
ECE_AFTER = 0.012  # C: at most
TIMES = 3.0  # C: at least
TEMPERATURE = 1.0  # P: above, as the networks are too sure
CONTROL = 1.25  # C: temperature of the control, at most
FITS = 100  # temperatures that an interval is of
DEPTHS = 3  # networks at least that a slope is fitted to


def measure(subjects: Sequence[Subject], options: Options) -> Measured:
    """Measure ECE, temperature and bins of each subject, and how ECE grows with depth."""
    found: dict[str, Any] = {}
    errors: dict[str, Statistic] = {}
    for subject in (each for each in subjects if each.trained):
        options.say(f"classifying: {subject.name}")
        logits, labels = subject.logits(options.images, options.seed)
        entry, errors[subject.name] = _measured(logits, labels, options.seed)
        random = torch.Generator().manual_seed(options.seed)
        drawn = torch.multinomial(logits.softmax(1), 1, generator=random)[:, 0]
        entry["control"] = {"temperature": _temperature(logits, drawn, options.seed)}
        model = subject.config.model
        entry |= {"depth": model.get("depth"), "data": str(subject.data.name)}
        found[subject.name] = entry
    return {"networks": found, "slope": _slope(found, errors, options.seed)}


def _measured(logits: Tensor, labels: Tensor, seed: int) -> tuple[dict[str, Any], Statistic]:
    """Measure one network; return also its ECE as a function of the images drawn."""
    halves = torch.arange(len(labels)) % 2
    others = (halves != half for half in (0, 1))
    fitted = torch.tensor([fitted_temperature(logits[other], labels[other]) for other in others])
    mended = logits.double() / fitted[halves, None]
    before, after = (_error(each, labels) for each in (logits.double(), mended))
    numbers = {
        "ece": before,
        "ece_after": after,
        "times_smaller": lambda chosen: before(chosen) / max(after(chosen), 1e-9),
    }
    accuracy, afterwards = (
        float((each.argmax(1) == labels).double().mean()) for each in (logits, mended)
    )
    return {
        "images": len(labels),
        "accuracy": accuracy,
        "accuracy_changes": abs(afterwards - accuracy),
        "temperature": _temperature(logits, labels, seed),
        "reliability": {
            name: _reliability(each, labels)
            for name, each in (("as trained", logits), ("with temperature", mended))
        },
        **{name: bootstrap(each, len(labels), seed, biased=True) for name, each in numbers.items()},
    }, before


def _reliability(logits: Tensor, labels: Tensor) -> list[dict[str, float]]:
    confidence, predicted = logits.double().softmax(1).max(1)
    return bin_means(confidence.numpy(), (predicted == labels).double().numpy())


def _temperature(logits: Tensor, labels: Tensor, seed: int) -> Interval:
    return bootstrap(
        lambda chosen: fitted_temperature(logits[chosen], labels[chosen]), len(labels), seed, FITS
    )


def _error(logits: Tensor, labels: Tensor) -> Statistic:
    confidence, predicted = logits.softmax(1).max(1)
    gaps = (confidence - (predicted == labels).double()).numpy()
    bins = equal_width_bins(confidence.numpy())
    return lambda chosen: calibration_error(gaps[chosen], bins[chosen])


def _slope(found: Measured, errors: dict[str, Statistic], seed: int) -> Interval | None:
    """Return the change of ECE for ten layers more; None for fewer than `DEPTHS` depths."""
    names = [name for name, entry in found.items() if entry["depth"] is not None]
    depths = [found[name]["depth"] for name in names]
    counts = {found[name]["images"] for name in names}
    if len(set(depths)) < DEPTHS or len(counts) > 1:
        return None

    def slope(chosen: NDArray[np.int64]) -> float:
        return 10 * float(np.polyfit(depths, [errors[name](chosen) for name in names], 1)[0])

    return bootstrap(slope, counts.pop(), seed)


def judge(measured: Measured) -> list[Check]:
    """Compare with the thresholds."""
    checks = []
    for name, entry in measured["networks"].items():
        if (entry["depth"], entry["data"]) == (110, "cifar10"):
            low, high = ECE_110
            checks.append(Check("ECE as published", name, "at least", low, "P", entry["ece"]))
            checks.append(Check("ECE as published", name, "at most", high, "P", entry["ece"]))
        changes = dict.fromkeys(("value", "low", "high"), entry["accuracy_changes"])
        checks += [
            Check("temperature", name, "above", TEMPERATURE, "P", entry["temperature"]),
            Check("ECE after", name, "at most", ECE_AFTER, "C", entry["ece_after"]),
            Check("ECE shrinks, times", name, "at least", TIMES, "C", entry["times_smaller"]),
            Check("accuracy changes", name, "at most", 0.0, "P", changes),
            Check(
                "temperature of labels drawn from the network", name, "at most", CONTROL, "C",
                entry["control"]["temperature"], control=True,
            ),
        ]  # fmt: skip
    checks.append(
        Check(
            "ECE by 10 layers more", "all", "above", 0.0, "C", measured["slope"],
            reason=f"needs trained networks of {DEPTHS} depths",
        )
    )  # fmt: skip
    return checks


def draw(measured: Measured) -> list[Plot]:
    """Draw the reliability of each network, and ECE against depth."""
    plots = []
    for name, entry in measured["networks"].items():
        reliability = {
            f"{key}: ECE {100 * entry[number]['value']:.2f} %": {"bins": entry["reliability"][key]}
            for key, number in (("as trained", "ece"), ("with temperature", "ece_after"))
        }
        caption = "Bins of equally many images, with 95 % intervals; ECE of 15 bins of equal width."
        plots.append(Plot(f"Reliability of {name}", caption, figures.reliability(reliability)))
    if measured["slope"] is not None:
        plots.insert(0, _against_depth(measured["networks"]))
    return plots


def _against_depth(networks: Measured) -> Plot:
    figure, axes = new_axes(5.2, 3.6)
    for number, (key, label) in enumerate((("ece", "as trained"), ("ece_after", "temperature"))):
        points = sorted(
            (each["depth"], *(100 * each[key][end] for end in ("value", "low", "high")))
            for each in networks.values()
            if each["depth"] is not None
        )
        depth, value, low, high = np.array(points).T
        error = np.maximum(0, [value - low, high - value])
        axes.errorbar(depth, value, error, capsize=3, label=label, **look(number))
    axes.set_ylim(0)
    axes.legend(frameon=False)
    tidy(axes, "layers", "ECE (%)")
    return Plot("ECE against depth", "With 95 % intervals over the images.", figure)
