"""Read sweeps, rank their settings, print the result and write its pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_lab.core.console import console
from resnet_lab.core.text import printable
from resnet_lab.reporting.board import Leaderboard
from resnet_lab.reporting.leaderboard import rank
from resnet_lab.reporting.pages import write_pages
from resnet_lab.reporting.reading import Results, read_results
from resnet_lab.reporting.terminal import print_report


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
    found = Report(results, rank(results, monitor))
    return write_report(found, out, plots=plots) if write else found


def write_report(found: Report, out: str | Path | None = None, *, plots: bool = True) -> Report:
    """Write the pages of a report.

    Args:
        found: the report.
        out: where they go; None: into its directory, if it is one, else nowhere.
        plots: whether they have plots, which take most of the time.

    Raises:
        ValueError: they cannot be written there.
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
    """Print where the page of a report is."""
    for path in result.files:
        if path.name == "report.html":
            written = f"written: {printable(path)}"
            console().print(written, markup=False, highlight=False, soft_wrap=True)
