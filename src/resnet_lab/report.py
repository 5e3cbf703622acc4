"""Report a sweep: which setting won, by how much, how sure that is, and what failed.

    python -m resnet_lab.report logs/sweeps/<sweep>
    python -m resnet_lab.report logs/sweeps/<sweep> logs/sweeps/<other> --out both
    python -m resnet_lab.report logs/runs

Prints the leaderboard and writes report.html (one file, with the plots), report.md, report.csv (one
row a setting) and runs.csv (one row a job) into the sweep's directory.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lab.console import console, errors_in_one_line
from resnet_lab.reporting.leaderboard import Leaderboard, rank
from resnet_lab.reporting.pages import write_pages
from resnet_lab.reporting.reading import Results, read_results
from resnet_lab.reporting.terminal import print_report
from resnet_lab.startup import collection_put_off


@dataclass(frozen=True)
class Report:
    """A sweep, its leaderboard and the files that tell of them."""

    results: Results
    leaderboard: Leaderboard
    files: tuple[Path, ...] = ()


def report(
    directories: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    monitor: str | None = None,
    write: bool = True,
    plots: bool = True,
) -> Report:
    """Read sweeps, rank their settings and write the pages.

    Args:
        directories: of sweeps, of runs, or runs themselves; what they hold is ranked together.
        out: where the pages go; None: into the directory, if it is one, else nowhere.
        monitor: the metric that ranks, such as val/loss; None: the one of most jobs.
        write: whether to write pages at all.
        plots: whether they have plots, which take most of the time.

    Raises:
        ValueError: a directory is missing, no run is there, or the pages cannot be written.
    """
    results = read_results(directories)
    board = rank(results, monitor)
    if out is None and len(results.directories) == 1:
        out = results.directories[0]
    if out is None or not write:
        return Report(results, board)
    try:
        files = write_pages(results, board, Path(out), plots=plots)
    except OSError as error:
        why = error.strerror or str(error)
        raise ValueError(
            f"{error.filename or out}: {why}; write the pages elsewhere with --out DIRECTORY, or "
            "none with --no-pages"
        ) from error
    return Report(results, board, files)


def show_report(result: Report) -> None:
    """Print a report."""
    print_report(result.results, result.leaderboard)
    for path in result.files:
        if path.name == "report.html":
            console().print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m resnet_lab.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("sweep", nargs="+", help="directory of a sweep or of runs")
    parser.add_argument("--out", help="directory for the pages (default: the sweep's own)")
    parser.add_argument("--monitor", help="the metric that ranks (default: the one of most jobs)")
    parser.add_argument("--no-plots", action="store_true", help="pages without plots, at once")
    parser.add_argument("--no-pages", action="store_true", help="print only, write nothing")
    options = parser.parse_args(arguments)
    with collection_put_off(), errors_in_one_line():
        result = report(
            options.sweep,
            options.out,
            monitor=options.monitor,
            write=not options.no_pages,
            plots=not options.no_plots,
        )
        show_report(result)
        if not result.leaderboard.ranked:
            states = ", ".join(f"{count} {state}" for state, count in result.results.states.items())
            raise ValueError(f"no job has finished with a result yet ({states}): nothing to rank")


if __name__ == "__main__":
    main()
