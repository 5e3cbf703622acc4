"""A model card (Mitchell et al. 2019), filled in with what a run has recorded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_lab.core.text import markdown, markdown_code
from resnet_lab.exporting.exporter import NAMES, Exporter
from resnet_lab.reporting.run_record import as_finite
from resnet_lab.reporting.wording import count_of
from resnet_lab.training.weights.published import digest

RECIPE = (
    "optimizer", "scheduler", "trainer.max_epochs", "trainer.max_steps", "data.batch_size",
    "task.label_smoothing", "seed",
)  # fmt: skip


def card(exporter: Exporter, out: Path, told: Mapping[str, str]) -> str:
    """Format the model card of a network, with the checksums of the exports in `out`.

    `told` is what is known of a file by its name, such as the accuracy of int8.
    """
    about, run = exporter.metadata(), exporter.run
    network, status = exporter.network, exporter.run.status
    parameters = sum(parameter.numel() for parameter in network.module.parameters())
    classes = ", ".join(markdown(name) for name in about["classes"][:100])
    more = len(about["classes"]) - 100
    side = f"{about['input']['height']} x {about['input']['width']}"
    lines = [
        f"# {markdown(str(run.config.name))}",
        "",
        f"An image classifier with {parameters:,} parameters, trained on "
        f"{markdown(about['data'])}. It takes images of {side} pixels with "
        f"{count_of(about['input']['channels'], 'channel')} and knows "
        f"{len(about['classes'])} classes: {classes}{f' and {more} more' if more > 0 else ''}.",
        "",
        "## Results",
        "",
        *_results(run.directory, about),
        "",
        "## Recipe",
        "",
        *(f"- {markdown(key)}: {markdown_code(text)}" for key, text in _recipe(exporter)),
        "",
        "The whole configuration is `config.yaml` of the run.",
        "",
        "## Limits",
        "",
        f"- It names one of its {len(about['classes'])} classes for every image, also for one that "
        "shows something else.",
        f"- The results are of test images of {markdown(about['data'])}. Images of another origin "
        "were not measured.",
        "- Pictures must be fitted and normalised as in training: "
        f"{markdown_code(json.dumps(about['input']))}.",
        "",
        "## Where it comes from",
        "",
        f"- checkpoint {markdown_code(exporter.checkpoint)}: sha256 `{about['checkpoint_sha256']}`",
        f"- commit {markdown_code(str(about['commit']))}",
        f"- versions {markdown_code(json.dumps(about['versions']))}",
        f"- trained on {markdown_code(str(status.get('device')))}, "
        f"{markdown_code(str(status.get('precision')))}",
    ]
    for part, of in (("data_sha256", "of the data"), ("code", "of the run")):
        found = status.get(part)
        for name, value in found.items() if isinstance(found, dict) else ():
            known = f"sha256 {markdown_code(str(value))}"
            lines.append(f"- {markdown_code(str(name))} {of}: {known}")
    for name in NAMES.values():
        if (out / name).is_file():
            known = f" ({markdown(told[name])})" if name in told else ""
            lines.append(f"- `{name}`: sha256 `{digest(out / name)}`{known}")
    return "\n".join(lines) + "\n"


def _results(directory: Path, about: dict[str, Any]) -> list[str]:
    """Return the recorded test result, and the calibration where these weights were analysed."""
    test = about["test"]
    numbers = {
        key: as_finite(test.get(key)) if isinstance(test, dict) else None
        for key in ("acc", "acc_low", "acc_high", "images")
    }
    acc, low, high, images = numbers.values()
    if acc is None or low is None or high is None or images is None:
        return ["These weights were not tested."]
    lines = [
        f"Test accuracy {100 * acc:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f}, "
        f"{images:,.0f} images). The interval is of the sampling of the images, not of other seeds."
    ]
    try:
        analysis = json.loads((directory / "analysis.json").read_text())
        same = analysis["checkpoint_sha256"] == about["checkpoint_sha256"]
        key = "calibration" if about["temperature"] == 1 else "calibrated"
        found = [as_finite(analysis[key][name]) for name in ("ece", "ece_low", "ece_high", "nll")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # it was not analysed
        return lines
    if same and analysis.get("split") == "test" and None not in found:
        ece, ece_low, ece_high, nll = (float(value or 0) for value in found)
        lines += [
            "",
            f"Calibration error (ECE) {100 * ece:.2f} % (95 % interval {100 * ece_low:.2f} to "
            f"{100 * ece_high:.2f}), cross-entropy {nll:.4f} nats, at temperature "
            f"{about['temperature']:.3f}.",
        ]
    return lines


def _recipe(exporter: Exporter) -> list[tuple[str, str]]:
    from resnet_lab.core.configuration.config import flat

    leaves = flat(exporter.run.config, resolve=False)
    names = ("model", "data.augment", "task.mix", *RECIPE)
    return [
        (key, str(value))
        for key, value in leaves.items()
        if any(key == name or key.startswith(f"{name}.") for name in names) and value is not None
    ]
