"""The files of a finding: JSON, one PNG a figure, one HTML page."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_lab.core.device import describe
from resnet_lab.core.files import folder_in, replacing, write, write_json
from resnet_lab.core.provenance import commit, now, versions
from resnet_lab.core.text import printable
from resnet_lab.findings.finding import Check, Finding, Interval, Options, stated, verdict
from resnet_lab.findings.subjects import Subject, SweepSubject
from resnet_lab.reporting import html

COLUMNS = ["check", "network", "value", "95 % interval", "threshold", "verdict"]


def reproduce(
    name: str, finding: Finding, subjects: Sequence[Subject | SweepSubject], options: Options
) -> dict[str, Any]:
    """Measure and judge a finding; return everything that goes to its JSON."""
    measured = finding.measure(subjects, options)
    checks = finding.judge(measured)
    return {
        "finding": name,
        "paper": finding.PAPER,
        "verdict": verdict(checks),
        "checks": [{**check._asdict(), "verdict": check.verdict} for check in checks],
        "measured": measured,
        "subjects": [subject.record() for subject in subjects],
        "images": options.images or finding.IMAGES or "all",
        "draws": options.draws,
        "seed": options.seed,
        "command": shlex.join(["resnet-reproduce", *sys.argv[1:]]),
        "time": now(),
        "device": describe("cpu"),
        "versions": versions(),
        "commit": commit(),
    }


def write_result(result: dict[str, Any], finding: Finding, out: Path) -> Path:
    """Write `<finding>.json`, `.html` and a `.png` for each figure; return the path of the page."""
    name, measured = result["finding"], result["measured"]
    folder = folder_in(out, "findings")
    write_json(folder / f"{name}.json", result)
    plots = finding.draw(measured)
    for plot in plots:
        title = re.sub(r"\W+", "_", plot.title.lower())
        with replacing(folder / f"{name}_{title}.png") as part:
            plot.figure.savefig(part, format="png")
    page = html.render(
        "finding.html",
        title=f"finding: {name}",
        heading=finding.TITLE,
        time=result["time"],
        verdict=stated(finding.judge(measured)),
        explained=finding.EXPLAINED,
        method=(finding.__doc__ or "").strip().split("\n\n"),
        facts=facts(result),
        table=(COLUMNS, rows(finding.judge(measured))),
        plots=[(plot.title, plot.caption, html.svg(plot.figure, plot.title)) for plot in plots],
    )
    write(folder / f"{name}.html", page)
    return folder / f"{name}.html"


def facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what was measured, by name."""
    found = [("paper", result["paper"])]
    for subject in result["subjects"]:
        if "runs" in subject:
            told = f"{subject['name']}, {subject['runs']} runs, {subject['data']}"
            found.append(("sweep", printable(told)))
            continue
        digest = f", sha256 {subject['sha256'][:16]}" if subject["sha256"] else ", untrained"
        split = f", {subject['split']} split" if subject["split"] else ""
        found.append(("network", printable(f"{subject['name']}{digest}, {subject['data']}{split}")))
    chosen = ", ".join(str(result[name]) for name in ("images", "draws", "seed"))
    return [
        *found,
        ("images, draws, seed", chosen),
        ("command", printable(result["command"])),
        ("machine", result["device"]),
    ]


def rows(checks: Sequence[Check]) -> list[list[str]]:
    """Return a row for each check, the controls marked."""
    return [
        [
            f"{check.name} (control)" if check.control else check.name,
            printable(check.subject),
            number(check.found["value"]) if check.found else "",
            interval(check.found) if check.found else check.reason,
            f"{check.at} {check.threshold:g} ({check.source})",
            check.verdict,
        ]
        for check in checks
    ]


def number(value: float | None) -> str:
    """Format a number to three digits."""
    return "unknown" if value is None else f"{value:.3g}"


def interval(found: Interval) -> str:
    """Format the 95 % interval."""
    return f"{number(found['low'])} to {number(found['high'])}"
