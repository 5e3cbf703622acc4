"""Write the tables of measured results in docs/results.md and README.md, from docs/results/.

python docs/make_results.py                 write the tables anew
python docs/make_results.py add ROW RUN...  first take the records of finished runs into a row

A row is a folder of docs/results/, of runs that differ in their seeds alone: of each run
config.yaml, status.json and metrics.csv, as it recorded them but for the paths of the machine. A
row whose name ends in `_version_...` is of an earlier version of the code, and is not in README.md.
"""

import json
import shutil
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parent
RECORDS = DOCS / "results"
PLACES = ("data_dir=", "log_dir=", "run_dir=", "sweep_dir=")
NOT_TYPED = (*PLACES, "seed=", "callbacks.progress=", "hydra")
BEGIN, END = "<!-- measured: written by make docs -->\n", "<!-- /measured -->\n"


def add(row: str, runs: Iterable[Path]) -> None:
    """Copy the records of finished runs into a row."""
    for run in runs:
        status = json.loads((run / "status.json").read_text())
        if status["state"] != "done" or "test" not in status:
            raise SystemExit(f"{run} is {status['state']}: only finished, tested runs are results")
        config = yaml.safe_load((run / "config.yaml").read_text())
        folder = RECORDS / row / f"seed={config['seed']}"
        folder.mkdir(parents=True, exist_ok=True)
        data_dir = str(config.get("data_dir", "data"))
        text = (run / "config.yaml").read_text().replace(f": {data_dir}", ": data")
        (folder / "config.yaml").write_text(text)
        status["overrides"] = [item for item in status["overrides"] if not item.startswith(PLACES)]
        (folder / "status.json").write_text(json.dumps(status, indent=2) + "\n")
        shutil.copyfile(run / "metrics.csv", folder / "metrics.csv")


def rows(records: Path = RECORDS) -> dict[str, list[dict[str, Any]]]:
    """Return the statuses of each row's runs, by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(records.glob("*/*/status.json")):
        found.setdefault(path.parent.parent.name, []).append(json.loads(path.read_text()))
    return found


def line(cells: Iterable[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def command(runs: Sequence[dict[str, Any]]) -> str:
    """Return what to type for a row, without what only says where things lie, and the seed."""
    typed = [item for item in runs[0]["overrides"] if not item.startswith(NOT_TYPED)]
    return " ".join(typed)


def accuracy(runs: Sequence[dict[str, Any]]) -> str:
    """Return mean and standard deviation in percent; of a single run the interval of its images."""
    values = [100 * run["test"]["acc"] for run in runs]
    if len(values) == 1:
        low, high = (100 * runs[0]["test"][key] for key in ("acc_low", "acc_high"))
        return f"{values[0]:.2f} % ({low:.2f} to {high:.2f})"
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f} %"


def published(runs: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Return the published figure with its source, and whether the mean is within the tolerance."""
    expected = runs[0].get("expected")
    if not expected:
        return "", ""
    mean = statistics.fmean(run["expected"]["measured"] for run in runs)
    verdict = "PASS" if mean >= expected["value"] - expected["tolerance"] else "FAIL"
    return f"{100 * expected['value']:.2f} % ({expected['source']})", verdict


def span(values: Iterable[float]) -> str:
    """Return smallest and largest, as whole numbers."""
    shown = sorted(round(value) for value in values)
    return f"{shown[0]:,}" if shown[0] == shown[-1] else f"{shown[0]:,} to {shown[-1]:,}"


def distinct(texts: Iterable[str], separator: str = "; ") -> str:
    """Return each different text once, in order."""
    return separator.join(sorted(set(texts)))


def tables(records: Path = RECORDS) -> tuple[str, str]:
    """Return the table of docs/results.md, and the shorter one of README.md."""
    long = [
        "| command | published | measured | n | verdict | seconds | hardware | resnet-lab, torch "
        "| commit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    short = ["| command | published | measured | n | time |", "| --- | --- | --- | --- | --- |"]
    for name, runs in rows(records).items():
        figure, verdict = published(runs)
        seconds = span(run["seconds"] for run in runs)
        hardware = distinct(f"{run['device']}, {run['precision']}" for run in runs)
        versions = distinct(
            f"{run['versions']['resnet-lab']}, {run['versions']['torch']}" for run in runs
        )
        commits = distinct((str(run["commit"])[:7] for run in runs), ", ")
        _, _, old = name.partition("_version_")
        typed = f"`{command(runs)}`" if command(runs) else f"no options: {name}"
        typed += f" in version {old}" if old else ""
        cells = [typed, figure, accuracy(runs), str(len(runs))]
        long.append(line([*cells, verdict, seconds, hardware, versions, commits]))
        if not old:
            short.append(line([*cells, f"{seconds} s"]))
    return "\n".join(long) + "\n", "\n".join(short) + "\n"


def put(page: Path, table: str) -> str:
    """Return a page with the table between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table + END + after


def pages(records: Path = RECORDS) -> dict[Path, str]:
    """Return each page that has a table, as it should be."""
    long, short = tables(records)
    both = {DOCS / "results.md": long, DOCS.parent / "README.md": short}
    return {page: put(page, table) for page, table in both.items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["add"]:
        add(sys.argv[2], map(Path, sys.argv[3:]))
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
