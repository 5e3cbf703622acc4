"""The files of a report: Markdown, CSV, and HTML with the plots inside."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_lab.harmless import harmless
from resnet_lab.provenance import now
from resnet_lab.reporting import html
from resnet_lab.reporting.jobs import Job
from resnet_lab.reporting.leaderboard import Leaderboard
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.statistics import Spread
from resnet_lab.reporting.wording import (
    answer,
    facts,
    failures,
    leaderboard_table,
    notes,
    word_columns,
)
from resnet_lab.run import write

if TYPE_CHECKING:  # matplotlib is imported for the plots alone
    from resnet_lab.reporting.drawing import Plot


def write_pages(
    results: Results, board: Leaderboard, out: Path, *, plots: bool = True
) -> tuple[Path, ...]:
    """Write report.html, report.md, report.csv and runs.csv; readers see old or new, never half.

    Returns:
        Their paths.
    """
    drawn: list[Plot] = []
    if plots:
        with harmless("drawing the report"):
            from resnet_lab.reporting.plots import chosen_plots

            drawn = chosen_plots(board, search=results.search)
    pages = {
        "report.html": page(results, board, drawn),
        "report.md": markdown(results, board),
        "report.csv": groups_csv(board),
        "runs.csv": jobs_csv(results, board),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write(out / name, text)
    return tuple(out / name for name in pages)


def page(results: Results, board: Leaderboard, plots: "Sequence[Plot]" = ()) -> str:
    """Return the report as one HTML file."""
    columns, rows = leaderboard_table(board)
    best = [number for number, row in enumerate(rows) if row[0] == "1"]
    parts = [
        html.pills(results.states),
        html.lead(answer(board)),
        html.definitions([fact for fact in facts(results, board) if fact[0] != "jobs"]),
    ]
    if rows:
        parts += [
            html.heading("Leaderboard"),
            html.table(columns, rows, words=word_columns(board), strong=best),
            html.bullets(notes(results, board)),
        ]
    failed = failures(results, board)
    if failed:
        parts += [html.heading("Failed jobs"), html.definitions(failed, kind="errors")]
    if plots:
        parts.append(html.heading("Plots"))
        parts.append(html.figures([(plot.title, plot.caption, plot.figure) for plot in plots]))
    return html.document(f"{results.name}: report", results.name, parts, f"As of {now()}.")


def markdown(results: Results, board: Leaderboard) -> str:
    """Return the report as Markdown, without plots."""
    columns, rows = leaderboard_table(board)
    words = word_columns(board)
    rule = [":---" if name in words else "---:" for name in columns]
    parts = [
        f"# {results.name}",
        answer(board),
        "\n".join(f"- {name}: {_code(text)}" for name, text in facts(results, board)),
        "\n".join(_row(cells) for cells in [columns, rule, *rows]) if rows else "",
        "\n".join(f"- {line}" for line in notes(results, board)),
    ]
    failed = failures(results, board)
    if failed:
        lines = (f"- {_code(error)} ({jobs})" for error, jobs in failed)
        parts += ["## Failed jobs", "\n".join(lines)]
    return "\n\n".join(filter(None, parts)) + "\n"


def groups_csv(board: Leaderboard) -> str:
    """Return one row a group: plain numbers, accuracies in [0, 1], seconds; empty if not known."""
    rows = []
    for place, group in enumerate(board.groups, 1):
        test = group.against_best
        rows.append(
            {
                "rank": place if group.metric else None,
                **{key: group.settings[key] for key in board.keys},
                "jobs": len(group.jobs),
                "not_finished": group.unfinished,
                **_spread(board.metric.name, group.metric),
                "verdict": group.verdict,
                "p": test.p if test else None,
                "test": test.test if test else None,
                "best_seed": group.best.seed if group.best else None,
                **_spread("test/acc", group.test),
                "seconds": group.seconds,
            }
        )
    return _csv(rows)


def jobs_csv(results: Results, board: Leaderboard) -> str:
    """Return one row a job, finished or not."""
    return _csv([_job(job, results, board) for job in results.jobs])


def _job(job: Job, results: Results, board: Leaderboard) -> dict[str, Any]:
    return {
        "directory": results.shown(job),
        "state": job.state,
        **{key: job.setting(key) for key in board.keys},
        "seed": job.seed,
        "monitor": job.monitor,
        "best": job.value,
        "best_epoch": job.epoch,
        "test/acc": job.test,
        "epochs": job.status.get("epochs"),
        "seconds": job.seconds,
        "images_per_second": job.status.get("images_per_second"),
        "error": job.error,
    }


def _spread(name: str, spread: Spread | None) -> dict[str, Any]:
    n, mean, std, low, high = spread or (0, None, None, None, None)
    return {
        f"{name}_n": n,
        f"{name}_mean": mean,
        f"{name}_std": std,
        f"{name}_low": low,
        f"{name}_high": high,
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _row(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _code(text: str) -> str:
    """Return a text in a code span, so that nothing in it is taken for Markdown."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
