"""An analysis in words and tables."""

from typing import Any

from resnet_lab.core.text import printable
from resnet_lab.reporting.analysis.analysis import Analysis
from resnet_lab.reporting.analysis.classes import top_confusions
from resnet_lab.reporting.wording import NONE
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
        f"the calibration error is {_percent(before['ece'])} (95 % interval "
        f"{_percent(before['ece_low'], '')} to {_percent(before['ece_high'], '')}), and with "
        f"perfect probabilities it would stay below {_percent(before['ece_by_chance'])}"
    )
    if before["ece"] <= before["ece_by_chance"]:
        return f"Its confidence can be believed: {error}."
    if numbers["acc_low"] <= before["confidence"] <= numbers["acc_high"]:
        kind = "right on average but not image by image"
    else:
        kind = "too high" if before["confidence"] > numbers["acc"] else "too low"
    said = f"Its confidence is {kind}, {_percent(before['confidence'])} on average: {error}."
    if after is None:
        return said
    mended = (
        "which can be believed"
        if after["ece"] <= after["ece_by_chance"]
        else (f"where perfect probabilities would stay below {_percent(after['ece_by_chance'])}")
    )
    better = after["ece"] < before["ece"]
    effect = f"brings it to {_percent(after['ece'])}, {mended}" if better else "does not lower it"
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


def class_table(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of precision, recall and F1 in percent, with intervals."""
    columns = ["class", "images", "recall %", "precision %", "F1 %"]
    rows = []
    for name, row in analysis.numbers["classes"].items():
        cells = [printable(name), f"{row['images']:,}"]
        for key in ("recall", "precision", "f1"):
            if row[key] is None:
                cells.append(NONE)
                continue
            value, low, high = (100 * row[f"{key}{end}"] for end in ("", "_low", "_high"))
            cells.append(f"{value:.1f} ({low:.1f} to {high:.1f})")
        rows.append(cells)
    return columns, rows


def calibration_table(analysis: Analysis) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of calibration, as trained and with the fitted temperature."""
    columns = ["", "ECE %", "95 % interval", "by chance below", "NLL", "Brier", "confidence %"]
    rows = []
    for key, name in (("calibration", "as trained"), ("calibrated", "temperature {:.3f}")):
        found = analysis.numbers[key]
        if found is not None:
            rows.append(
                [
                    name.format(found["temperature"]),
                    _percent(found["ece"], ""),
                    f"{_percent(found['ece_low'], '')} to {_percent(found['ece_high'], '')}",
                    _percent(found["ece_by_chance"], ""),
                    f"{found['nll']:.4f}",
                    f"{found['brier']:.4f}",
                    _percent(found["confidence"], ""),
                ]
            )
    return columns, rows


def cost_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the result of `cost` in words, by name."""
    rates = (f"{rate:,.0f} at batch {size}" for size, rate in found["images_per_second"].items())
    return [
        ("parameters", f"{found['parameters']:,}"),
        ("multiply-adds", f"{found['macs']:,} an image"),
        ("images/s", f"{', '.join(rates)} ({found['device']}, {found['precision']})"),
        ("weights", _bytes(found["bytes"])),
        ("checkpoint", _bytes(found["checkpoint_bytes"])),
    ]


def _bytes(number: int) -> str:
    return f"{number / 2**20:.2f} MiB" if number >= 2**20 else f"{number / 2**10:.1f} KiB"


def _percent(share: float, unit: str = " %") -> str:
    return f"{100 * share:.2f}{unit}"
