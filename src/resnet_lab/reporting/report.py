"""Read sweeps, rank their settings, print the result and write its pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_lab.core.console import say
from resnet_lab.core.text import printable
from resnet_lab.reporting.pages import write_pages
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import Results, read_results
from resnet_lab.reporting.terminal import print_report


@dataclass(frozen=True)
class Report:
    """The results of sweeps, their leaderboard, and the files written."""

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
        directories: of sweeps, of runs, or runs themselves; all jobs are ranked together.
        out: directory of the pages; None: the given directory if it is a single one, else no pages.
        monitor: metric to rank by, such as val/loss; None: the one that most jobs use.
        write: whether to write the pages.
        plots: whether to draw plots, which takes most of the time.

    Raises:
        ValueError: a directory does not exist, contains no run, or the pages cannot be written.
    """
    results = read_results(directories)
    found = Report(results, rank(results, monitor))
    return write_report(found, out, plots=plots) if write else found


def write_report(found: Report, out: str | Path | None = None, *, plots: bool = True) -> Report:
    """Write the pages of a report; drawing the plots takes most of the time.

    Without `out` they go to the directory of the report if it is a single one, else nowhere. Raises
    a ValueError if they cannot be written.
    """
    if out is None and len(found.results.directories) == 1:
        out = found.results.directories[0]
    if out is None:
        return found
    try:
        files = write_pages(found.results, found.leaderboard, Path(out), plots=plots)
    except OSError as error:
        raise ValueError(
            f"{out}: the report cannot be written there ({error.strerror or error}); name another "
            "directory with --out, or leave the pages out with --no-pages"
        ) from error
    return replace(found, files=files)


def show_report(result: Report) -> None:
    """Print a report."""
    print_report(result.results, result.leaderboard)
    show_files(result)


def show_files(result: Report) -> None:
    """Print the path of the page of a report."""
    for path in result.files:
        if path.name == "report.html":
            say(f"written: {printable(path)}")
