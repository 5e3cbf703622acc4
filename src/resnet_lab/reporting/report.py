"""Read sweeps, rank their settings, and write the pages: HTML with plots, Markdown, CSV."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from resnet_lab.core.console import say
from resnet_lab.core.files import write as write_file
from resnet_lab.core.harmless import harmless
from resnet_lab.core.provenance import now
from resnet_lab.core.text import csv_text, printable
from resnet_lab.reporting import html
from resnet_lab.reporting.checklist import checklist
from resnet_lab.reporting.headline import SHOWN_OTHERS, answer
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.ranking.leaderboard import rank
from resnet_lab.reporting.reading import Results, read_results
from resnet_lab.reporting.statistics import Spread
from resnet_lab.reporting.terminal import print_report
from resnet_lab.reporting.wording import facts, failures, leaderboard_table, notes, word_columns


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
        out: see `write_report`.
        monitor: metric to rank by, such as val/loss; None: the one that most jobs use.
        write: whether to write the pages.
        plots: whether to draw plots, which takes most of the time.

    Raises:
        ValueError: a directory does not exist, contains no run, or the pages cannot be written.
    """
    results = read_results(directories)
    found = Report(results, rank(results, monitor))
    return write_report(found, out, plots=plots) if write else found


def show_report(result: Report) -> None:
    """Print a report, and where its page is."""
    print_report(result.results, result.leaderboard)
    show_files(result)


def show_files(result: Report) -> None:
    """Print the path of the page of a report."""
    for path in result.files:
        if path.name == "report.html":
            say(f"written: {printable(path)}")


def write_report(found: Report, out: str | Path | None = None, *, plots: bool = True) -> Report:
    """Write the pages of a report.

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


def write_pages(
    results: Results, board: Leaderboard, out: Path, *, plots: bool = True
) -> tuple[Path, ...]:
    """Write report.html, report.md, report.csv, runs.csv and checklist.md, each atomically.

    Drawing the plots takes most of the time.
    """
    drawn: list[tuple[str, str, Markup]] = []
    if plots:
        with harmless("drawing the report"):
            from resnet_lab.reporting.plots.chosen import chosen_plots  # imports matplotlib

            drawn = [
                (plot.title, plot.caption, html.svg(plot.figure, plot.title))
                for plot in chosen_plots(board, results.trials(board.jobs))
            ]
    values = {
        "heading": results.name,
        "facts": facts(results, board),
        "board": _board_values(board),
        "others": [_board_values(other) for other in board.others[:SHOWN_OTHERS]],
        "failures": failures(board),
    }
    more = {"title": f"{results.name}: report", "time": now(), "states": results.states}
    pages = {
        "report.html": html.render("report.html", **values, **more, plots=drawn),
        "report.md": html.render("report.md", **values).rstrip() + "\n",
        "report.csv": csv_text(_group_rows(board)),
        "runs.csv": csv_text(_job_rows(results, board)),
        "checklist.md": checklist(results, board),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_file(out / name, text)
    return tuple(out / name for name in pages)


def _board_values(board: Leaderboard) -> dict[str, Any]:
    return {
        "description": board.description,
        "answer": answer(board),
        "table": leaderboard_table(board),
        "words": word_columns(board),
        "notes": notes(board),
    }


def _group_rows(first: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield one row per group: plain numbers, accuracies in [0, 1], seconds; unknown is None.

    The column `table` numbers the leaderboards.
    """
    for table, board in enumerate(first.all, 1):
        for place, group in enumerate(board.groups, 1):
            test = group.against_best
            row = {
                "table": table,
                "jobs_are": board.description,
                "rank": place if group.metric else None,
                **{key: group.settings[key] for key in board.keys},
                "jobs": len(group.jobs),
                "diverged": sum(job.diverged for job in group.jobs),
                "not_finished": group.unfinished,
                **_spread(board.metric.name, group.metric),
                "verdict": group.verdict,
                "p": test.p if test else None,
                "test": test.test if test else None,
                "best_seed": group.best.seed if group.best else None,
            }
            for metric in board.tests:
                row |= _spread(metric.name, group.tested(metric))
            yield row | {"seconds": group.seconds}


def _job_rows(results: Results, first: Leaderboard) -> Iterator[dict[str, Any]]:
    """Yield one row per job, in any state."""
    tables = {
        job: (number, board)
        for number, board in enumerate(first.all, 1)
        for job in (*board.jobs, *board.repeated)
    }
    for job in results.jobs:
        table, board = tables[job]
        yield {
            "directory": results.shown(job),
            "table": table,
            "state": job.state,
            "diverged": job.diverged,
            **{key: job.setting(key) for key in board.keys},
            "seed": job.seed,
            "monitor": job.monitor,
            "best": job.value,
            "best_epoch": job.epoch,
            **{metric.name: job.tests.get(metric.name[5:]) for metric in board.tests},
            "epochs": job.status.get("epochs"),
            "seconds": job.seconds,
            "images_per_second": job.status.get("images_per_second"),
            "error": job.error,
        }


def _spread(name: str, spread: Spread | None) -> dict[str, Any]:
    values = spread or (0, None, None, None, None)
    columns = (f"{name}_{part}" for part in Spread._fields)
    return dict(zip(columns, values, strict=True))
