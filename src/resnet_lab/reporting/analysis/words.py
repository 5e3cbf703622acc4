"""An analysis in words and tables."""

from typing import Any

from rich.filesize import decimal

from resnet_lab.core.text import printable
from resnet_lab.reporting.analysis.analysis import Analysis
from resnet_lab.reporting.analysis.classes import top_confusions
from resnet_lab.reporting.wording import NONE, Table
from resnet_lab.runs.trained.inference import TrainedNetwork

NAMED = 3  # confusions in the answer


def answer(analysis: Analysis) -> str:
    """Summarize accuracy, confusions, and whether the confidence can be believed."""
    numbers = analysis.numbers
    low, high = 100 * numbers["acc_low"], 100 * numbers["acc_high"]
    right = (
        f"{100 * numbers['acc']:.2f} % of {numbers['images']:,} {numbers['split']} images are "
        f"right (95 % interval {low:.2f} to {high:.2f})."
    )
    return " ".join([right, _confused(analysis), _believed(numbers)])


def _confused(analysis: Analysis) -> str:
    pairs = [
        f"{analysis.classes[true]} taken for {analysis.classes[said]} "
        f"({count:,} of {analysis.counts[true].sum():,})"
        for true, said, count in top_confusions(analysis.counts)[:NAMED]
    ]
    if not pairs:
        return "It makes no mistake on them."
    return f"Most often confused: {', '.join(pairs)}."


def _believed(numbers: dict[str, Any]) -> str:
    before, after = numbers["calibration"], numbers["calibrated"]
    error = (
        f"the calibration error is {_percent(before['ece'])} % (95 % interval "
        f"{_interval(before)}), and with perfect probabilities it would stay below "
        f"{_percent(before['ece_by_chance'])} %"
    )
    if before["ece"] <= before["ece_by_chance"]:
        return f"Its confidence can be believed: {error}."
    if numbers["acc_low"] <= before["confidence"] <= numbers["acc_high"]:
        kind = "right on average but not image by image"
    else:
        kind = "too high" if before["confidence"] > numbers["acc"] else "too low"
    said = f"Its confidence is {kind}, {_percent(before['confidence'])} % on average: {error}."
    if after is None:
        return said
    effect = "does not lower it"
    if after["ece"] < before["ece"]:
        chance = _percent(after["ece_by_chance"])
        believed = after["ece"] <= after["ece_by_chance"]
        effect = f"brings it to {_percent(after['ece'])} %, " + (
            "which can be believed"
            if believed
            else f"where perfect probabilities would stay below {chance} %"
        )
    return (
        f"{said} A temperature of {after['temperature']:.2f}, fitted on "
        f"{numbers['temperature_images']:,} validation images, {effect}."
    )


def facts(network: TrainedNetwork, numbers: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what was analysed, by name."""
    digest = numbers["checkpoint_sha256"][:16]
    rows = [
        ("run", printable(network.run.shown)),
        ("checkpoint", f"{printable(numbers['checkpoint'])} (sha256 {digest})"),
        ("data", f"{printable(network.facts['name'])}, {numbers['split']} split"),
    ]
    if "acc_top5" in numbers:
        rows.append(("top-5 accuracy", f"{100 * numbers['acc_top5']:.2f} %"))
    return rows


def class_table(analysis: Analysis) -> Table:
    """Tabulate precision, recall and F1 in percent, with intervals."""
    rows = [
        [
            printable(name),
            f"{row['images']:,}",
            *(with_interval(row, key, ".1f", 100) for key in ("recall", "precision", "f1")),
        ]
        for name, row in analysis.numbers["classes"].items()
    ]
    return Table(["class", "images", "recall %", "precision %", "F1 %"], rows)


def calibration_table(analysis: Analysis) -> Table:
    """Tabulate calibration, as trained and with the fitted temperature."""
    rows = [
        [
            name.format(found["temperature"]), _percent(found["ece"]), _interval(found),
            _percent(found["ece_by_chance"]), f"{found['nll']:.4f}", f"{found['brier']:.4f}",
            _percent(found["confidence"]),
        ]
        for key, name in (("calibration", "as trained"), ("calibrated", "temperature {:.3f}"))
        if (found := analysis.numbers[key]) is not None
    ]  # fmt: skip
    columns = ["", "ECE %", "95 % interval", "by chance below", "NLL", "Brier", "confidence %"]
    return Table(columns, rows)


def cost_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result of `cost` in words, by name."""
    rates = (f"{rate:,.0f} at batch {size}" for size, rate in found["images_per_second"].items())
    return [
        ("parameters", f"{found['parameters']:,}"),
        ("multiply-adds", f"{found['macs']:,} an image"),
        ("images/s", f"{', '.join(rates)} ({found['device']}, {found['precision']})"),
        ("weights", decimal(found["bytes"], precision=2)),
        ("checkpoint", decimal(found["checkpoint_bytes"], precision=2)),
    ]


def with_interval(found: dict[str, Any], name: str, spec: str = ".4g", scale: float = 1) -> str:
    """Format a value with its 95 % interval: `0.91 (0.88 to 0.93)`; a dash if it is unknown."""
    if found[name] is None:
        return NONE
    value, low, high = (f"{scale * found[f'{name}{end}']:{spec}}" for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _interval(found: dict[str, Any]) -> str:
    return f"{_percent(found['ece_low'])} to {_percent(found['ece_high'])}"
