"""The files of a report: HTML with the plots inside, Markdown, and CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from resnet_lab.core.files import write
from resnet_lab.core.harmless import harmless
from resnet_lab.core.provenance import now
from resnet_lab.core.text import csv_cell, markdown_code
from resnet_lab.core.text import markdown as markdown_text
from resnet_lab.reporting import html
from resnet_lab.reporting.checklist import checklist
from resnet_lab.reporting.headline import SHOWN_OTHERS, answer
from resnet_lab.reporting.ranking.board import Leaderboard
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.run_record import RunRecord
from resnet_lab.reporting.statistics import Spread
from resnet_lab.reporting.wording import facts, failures, leaderboard_table, notes, word_columns


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
    pages = {
        "report.html": page(results, board, drawn),
        "report.md": markdown(results, board),
        "report.csv": groups_csv(board),
        "runs.csv": jobs_csv(results, board),
        "checklist.md": checklist(results, board),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write(out / name, text)
    return tuple(out / name for name in pages)


def page(
    results: Results, board: Leaderboard, plots: Sequence[tuple[str, str, Markup]] = ()
) -> str:
    """Render the report as one HTML file, with title, caption and SVG of each plot."""
    return html.render(
        "report.html",
        title=f"{results.name}: report",
        heading=results.name,
        time=now(),
        states=results.states,
        facts=[fact for fact in facts(results, board) if fact[0] != "jobs"],
        board=_board_values(board),
        others=[_board_values(other) for other in board.others[:SHOWN_OTHERS]],
        failures=failures(board),
        plots=plots,
    )


def _board_values(board: Leaderboard) -> dict[str, Any]:
    return {
        "description": board.description,
        "answer": answer(board),
        "table": leaderboard_table(board),
        "words": word_columns(board),
        "notes": notes(board),
    }


def markdown(results: Results, board: Leaderboard) -> str:
    """Format the report as Markdown, without plots."""
    parts = [
        f"# {markdown_text(results.name)}",
        markdown_text(answer(board)),
        "\n".join(f"- {name}: {markdown_code(text)}" for name, text in facts(results, board)),
        *_table(board),
    ]
    for other in board.others[:SHOWN_OTHERS]:
        heading = f"## Set aside: {markdown_text(other.description)}"
        parts += [heading, markdown_text(answer(other)), *_table(other)]
    failed = failures(board)
    if failed:
        lines = (f"- {markdown_code(error)} ({markdown_text(jobs)})" for error, jobs in failed)
        parts += ["## Failed jobs", "\n".join(lines)]
    return "\n\n".join(filter(None, parts)) + "\n"


def groups_csv(board: Leaderboard) -> str:
    """Format one row per group: plain numbers, accuracies in [0, 1], seconds; unknown is empty.

    The column `table` numbers the leaderboards.
    """
    tables = enumerate(board.all, 1)
    return csv_text([row for number, each in tables for row in _group_rows(number, each)])


def _group_rows(table: int, board: Leaderboard) -> Iterator[dict[str, Any]]:
    for place, group in enumerate(board.groups, 1):
        test = group.against_best
        yield {
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
            **{
                column: value
                for metric in board.tests
                for column, value in _spread(metric.name, group.tested(metric)).items()
            },
            "seconds": group.seconds,
        }


def jobs_csv(results: Results, board: Leaderboard) -> str:
    """Format one row per job, in any state."""
    tables = {
        job: (number, each)
        for number, each in enumerate(board.all, 1)
        for job in (*each.jobs, *each.repeated)
    }
    return csv_text([_job(job, results, *tables[job]) for job in results.jobs])


def _job(job: RunRecord, results: Results, table: int, board: Leaderboard) -> dict[str, Any]:
    return {
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
    n, mean, std, low, high = spread or (0, None, None, None, None)
    return {
        f"{name}_n": n,
        f"{name}_mean": mean,
        f"{name}_std": std,
        f"{name}_low": low,
        f"{name}_high": high,
    }


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Format rows as CSV, with a column for each key."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _table(board: Leaderboard) -> list[str]:
    """Format a leaderboard and its notes as Markdown."""
    columns, rows = leaderboard_table(board)
    words = word_columns(board)
    rule = [":---" if name in words else "---:" for name in columns]
    head = [_row(columns), f"| {' | '.join(rule)} |"]
    cells = list(map(_row, rows))
    more = cells[html.SHOWN_ROWS :]
    folded = [f"<details><summary>{len(more):,} more</summary>", "\n".join([*head, *more])]
    return [
        "\n".join([*head, *cells[: html.SHOWN_ROWS]]),
        *([*folded, "</details>"] if more else []),
        "\n".join(f"- {markdown_text(line)}" for line in notes(board)),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown_text, cells))} |"
