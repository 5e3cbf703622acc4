"""Classify picture files with one network or several, and write down what came out."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_lab.core.provenance import now
from resnet_lab.core.text import csv_text, printable
from resnet_lab.core.threads import available_cores
from resnet_lab.data.decoding import decode
from resnet_lab.data.decoding.decode import Form
from resnet_lab.reporting import html
from resnet_lab.runs.trained.inference import BATCH, TrainedNetwork

MOST_SHOWN = 1000  # images on a page, shared by the classes


@dataclass(frozen=True)
class Classified:
    """What networks say of a picture file, or why it cannot be read."""

    path: Path  # of the file
    labels: tuple[int, ...] = ()  # of the most probable classes; empty if it cannot be read
    probabilities: tuple[float, ...] = ()  # of those classes
    pixels: NDArray[np.uint8] | None = None  # uint8 [H, W, C], as the first network sees it
    error: str = ""  # why it cannot be read, in one line; empty if it can


def check_ensemble(networks: Sequence[TrainedNetwork]) -> None:
    """Raise a ValueError unless networks have the same classes."""
    for network in networks[1:]:
        if network.classes != networks[0].classes:
            raise ValueError(
                f"{network.run.shown} has other classes than {networks[0].run.shown}: an ensemble "
                "is of runs on the same classes"
            )


def classify(
    networks: Sequence[TrainedNetwork],
    paths: Sequence[Path],
    *,
    top: int = 1,
    augment: str | None = None,
    keep_pixels: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Iterator[Classified]:
    """Classify picture files, in batches.

    Args:
        networks: of the same classes; the probabilities are the mean of theirs.
        paths: of the files.
        top: how many classes to give for each.
        augment: test-time augmentation; see `TrainedNetwork.predict_probabilities`.
        keep_pixels: whether to return the images too.
        advance: called with the number of files after each batch.

    Yields:
        One for each file, in order.
    """
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            errors: dict[int, str] = {}
            decoded: dict[Form, dict[int, NDArray[np.uint8]]] = {}
            for form in dict.fromkeys(network.form for network in networks):
                for index, read in enumerate(pool.map(_read, part, [form] * len(part))):
                    if isinstance(read, str):
                        errors[index] = read
                    else:
                        decoded.setdefault(form, {})[index] = read
            good = [index for index in range(len(part)) if index not in errors]
            best = iter(_best(networks, decoded, good, top, augment))
            for index, path in enumerate(part):
                if index in errors:
                    yield Classified(path, error=errors[index])
                    continue
                labels, probabilities = next(best)
                pixels = decoded[networks[0].form][index] if keep_pixels else None
                yield Classified(path, tuple(labels), tuple(probabilities), pixels)
            advance(len(part))


def _best(
    networks: Sequence[TrainedNetwork],
    decoded: Mapping[Form, Mapping[int, NDArray[np.uint8]]],
    good: Sequence[int],
    top: int,
    augment: str | None,
) -> list[tuple[list[int], list[float]]]:
    """Return labels and probabilities of the most probable classes of each image."""
    if not good:
        return []
    given = [np.stack([decoded[network.form][index] for index in good]) for network in networks]
    pairs = zip(networks, given, strict=True)
    each = [network.predict_probabilities(images, augment=augment) for network, images in pairs]
    values, labels = torch.stack(each).mean(0).topk(top, 1)
    return list(zip(labels.tolist(), values.tolist(), strict=True))


def _read(path: Path, form: Form) -> NDArray[np.uint8] | str:
    """Decode a file; return why it cannot be read, if it cannot."""
    try:
        return decode.load(path, form)
    except Exception as error:  # Pillow raises whatever, for a damaged file
        missing = isinstance(error, FileNotFoundError)
        return "no such file" if missing else decode.error_text(error)


def as_json(found: Sequence[Classified], classes: Sequence[str]) -> dict[str, Any]:
    """Return predictions, and the files that cannot be read, as plain types."""
    return {
        "images": [
            {
                "path": str(each.path),
                "classes": [
                    {"class": classes[label], "probability": probability}
                    for label, probability in zip(each.labels, each.probabilities, strict=True)
                ],
            }
            for each in found
            if not each.error
        ],
        "failed": [{"path": str(each.path), "error": each.error} for each in found if each.error],
    }


def as_csv(found: Sequence[Classified], classes: Sequence[str], top: int) -> str:
    """Format one row per file: path, classes with their probabilities, error."""
    numbers = ["", *(f"_{number}" for number in range(2, top + 1))]
    rows = []
    for each in found:
        row: dict[str, Any] = {"path": str(each.path)}
        for place, number in enumerate(numbers):
            known = not each.error
            row[f"class{number}"] = classes[each.labels[place]] if known else None
            row[f"probability{number}"] = round(each.probabilities[place], 6) if known else None
        rows.append(row | {"error": each.error})
    return csv_text(rows)


def gallery(found: Sequence[Classified], classes: Sequence[str], heading: str) -> str:
    """Render a page of images by the class that they were given, the most confident first."""
    good = [each for each in found if not each.error]
    groups: dict[int, list[tuple[str, str, str]]] = {}
    most = max(1, MOST_SHOWN // max(1, len({each.labels[0] for each in good})))
    for each in sorted(good, key=lambda each: (each.labels[0], -each.probabilities[0])):
        assert each.pixels is not None, "a gallery needs keep_pixels"
        if len(groups.setdefault(each.labels[0], [])) == most:
            continue
        lines = [
            f"{printable(classes[label])} ({100 * probability:.1f}\u00a0%)"
            for label, probability in zip(each.labels, each.probabilities, strict=True)
        ]
        entry = (html.thumbnail(each.pixels), printable(each.path), "\n".join(lines))
        groups[each.labels[0]].append(entry)
    return html.render(
        "gallery.html",
        title="predictions",
        heading=printable(heading),
        time=now(),
        count=len(good),
        most=most,
        groups=[
            (printable(classes[label]), sum(each.labels[0] == label for each in good), entries)
            for label, entries in groups.items()
        ],
        failed=[(each.error, printable(each.path)) for each in found if each.error],
    )


def copy_by_class(found: Sequence[Classified], classes: Sequence[str], to: Path) -> None:
    """Copy files into one folder per predicted class; a name that is taken gets a number.

    Class names come from the run, which may come from elsewhere: no folder lies outside of `to`.
    """
    names = [re.sub(r"[^\w +-]", "_", name)[:100].strip() or "_" for name in classes]
    folders = [
        name if names.count(name) == 1 else f"{label}_{name}" for label, name in enumerate(names)
    ]
    for each in found:
        if each.error:
            continue
        folder = to / folders[each.labels[0]]
        folder.mkdir(parents=True, exist_ok=True)
        target, number = folder / each.path.name, 1
        while target.exists():
            number += 1
            target = folder / f"{each.path.stem}-{number}{each.path.suffix}"
        shutil.copy2(each.path, target)
