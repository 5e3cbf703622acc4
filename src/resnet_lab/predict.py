"""Classify pictures with the trained network of a run.

    python -m resnet_lab.predict logs/runs/<run> photos/ 'more/*.jpg' list.csv
    ls photos/*.png | python -m resnet_lab.predict logs/runs/<run> - --csv

Pictures are decoded, fitted and normalised as in training. A file that cannot be read is named, the
others are done, and the exit code is 1.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_lab.core.configuration.command_line import command_parser
from resnet_lab.core.configuration.config import check_integer
from resnet_lab.core.console import running_command, say
from resnet_lab.core.files import write
from resnet_lab.core.text import printable
from resnet_lab.reporting.terminal import print_table

if TYPE_CHECKING:
    from resnet_lab.reporting.classify import Classified
    from resnet_lab.runs.trained.inference import TrainedNetwork

MANY = 200  # files from which on progress is shown


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    shared = ("run", "--calibrated", "--checkpoint", "--trust")
    parser = command_parser("predict", __doc__, *shared)
    parser.add_argument(
        "path", nargs="+", help="file, folder, pattern, list (.csv, .tsv), or - for standard input"
    )
    parser.add_argument("--top", type=int, default=1, help="classes for each file (default: 1)")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--csv", action="store_true", help="print CSV")
    shown.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--gallery", help="write a page with the images")
    parser.add_argument("--copy-to", help="copy the files to this directory, by class")
    parser.add_argument(
        "--ensemble", action="append", default=[], metavar="RUN",
        help="another run; probabilities are the mean of all; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--augment", choices=("flip", "ten_crop"), help="mean over versions of each image"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    options = parser.parse_args(arguments)
    with running_command():
        if not _predict(options):
            raise SystemExit(1)


def _predict(options: argparse.Namespace) -> bool:
    """Classify and show; return whether every file could be read."""
    check_integer("--top", options.top)
    from resnet_lab.data.sources.given import find_pictures
    from resnet_lab.reporting import classify
    from resnet_lab.runs.trained.inference import load

    paths = find_pictures(options.path, sys.stdin if "-" in options.path else ())
    chosen = {"device": options.device, "calibrated": options.calibrated, "trust": options.trust}
    runs = (options.run, *options.ensemble)
    networks = [load(run, options.checkpoint, **chosen) for run in runs]
    classify.check_ensemble(networks)
    classes = networks[0].classes
    top = min(options.top, len(classes))
    found = _classified(networks, paths, options, top)
    failed = [each for each in found if each.error]
    if options.json:
        about = {"run": str(networks[0].run.shown), "checkpoint": networks[0].checkpoint}
        print(json.dumps({**about, **classify.as_json(found, classes)}, indent=2))
    elif options.csv:
        print(classify.as_csv(found, classes, top), end="")
    else:
        _show(found, classes)
    if options.copy_to:
        classify.copy_by_class(found, classes, Path(options.copy_to))
    if options.gallery:
        page, heading = Path(options.gallery), f"Predictions of {networks[0].run.shown}"
        page.parent.mkdir(parents=True, exist_ok=True)
        write(page, classify.gallery(found, classes, heading))
    for each in failed:
        print(f"cannot be read: {printable(each.path)}: {printable(each.error)}", file=sys.stderr)
    if failed:
        print(f"{len(failed):,} of {len(found):,} files cannot be read", file=sys.stderr)
    return not failed


def _classified(
    networks: "list[TrainedNetwork]", paths: list[Path], options: argparse.Namespace, top: int
) -> "list[Classified]":
    from rich.console import Console
    from rich.progress import Progress

    from resnet_lab.reporting import classify

    show = len(paths) >= MANY and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not show) as progress:
        bar = progress.add_task("classifying", total=len(paths))
        return list(
            classify.classify(
                networks, paths, top=top, augment=options.augment,
                keep_pixels=bool(options.gallery),
                advance=lambda count: progress.advance(bar, count),
            )
        )  # fmt: skip


def _show(found: "Sequence[Classified]", classes: Sequence[str]) -> None:
    rows = []
    for each in found:
        if not each.error:
            rows.append([printable(each.path)])
            for label, probability in zip(each.labels, each.probabilities, strict=True):
                rows[-1] += [printable(classes[label]), f"{100 * probability:.1f}"]
    if not rows:
        return
    places = ["", *(f" {place}" for place in range(2, len(rows[0]) // 2 + 1))]
    columns = ["file", *(word + place for place in places for word in ("class", "%"))]
    words = [name for name in columns if not name.startswith("%")]
    print_table(columns, rows, words=words, dispensable=())
    counts = {name: sum(row[1] == name for row in rows) for name in map(printable, classes)}
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    if len(rows) > 1:
        say(f"{len(rows):,} images: {said}")


if __name__ == "__main__":
    main()
