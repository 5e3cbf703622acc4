"""Print reports and tables in the terminal."""

from collections.abc import Collection

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from resnet_lab.core.console import console
from resnet_lab.reporting.headline import SHOWN_OTHERS, answer
from resnet_lab.reporting.ranking.board import Leaderboard, short_names
from resnet_lab.reporting.reading import Results
from resnet_lab.reporting.wording import facts, failures, leaderboard_table, notes, word_columns

SHOWN = 30  # most groups that are printed; the pages have all
DISPENSABLE = ("best seed", "time", "95 % interval", "std")  # left out in a narrow terminal


def print_report(results: Results, board: Leaderboard) -> None:
    """Print facts, leaderboards, summary, notes and failures."""
    out = console()
    out.print(Text(results.name, "bold"))
    print_rows(facts(results, board))
    out.print()
    _print_leaderboard(board)
    out.print(Text(answer(board), "bold"))
    for line in notes(board):
        out.print(Text(line, "dim"))
    for other in board.others[:SHOWN_OTHERS]:
        out.print(Text(f"\nset aside: {other.description}", "bold"))
        _print_leaderboard(other)
        out.print(Text(answer(other)))
    for error, jobs in failures(board):
        out.print(Text.assemble(("failed: ", "red"), f"{error}  [{jobs}]"), soft_wrap=True)


def _print_leaderboard(board: Leaderboard) -> None:
    columns, rows = leaderboard_table(board)
    names = short_names(board.keys)
    words = [names.get(name, name) for name in word_columns(board)]
    print_table([names.get(name, name) for name in columns], rows[:SHOWN], words=words)
    if len(rows) > SHOWN:
        more = f"… and {len(rows) - SHOWN} more settings, in report.csv"
        console().print(more, highlight=False)
    console().print()


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and their texts in two columns."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        line = Text.assemble((f"{name:<{width}}  ", "bold"), text)
        console().print(line, soft_wrap=True)


def print_table(
    columns: list[str],
    rows: list[list[str]],
    *,
    words: Collection[str] = (),
    dispensable: Collection[str] = DISPENSABLE,
) -> None:
    """Print a table; leave out dispensable columns where the terminal is too narrow."""
    out = console()
    left_out: list[str] = []
    while True:
        shown = [place for place, name in enumerate(columns) if name not in left_out]
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for place in shown:
            left = columns[place] in words
            header = Text(columns[place])
            table.add_column(header, justify="left" if left else "right", no_wrap=True)
        for row in rows:
            cells = (Text(row[place]) for place in shown)
            table.add_row(*cells, style="bold" if row[0] == "1" else None)
        width = Measurement.get(out, out.options.update(width=10_000), table).maximum
        rest = [name for name in dispensable if name in columns and name not in left_out]
        if width <= out.width or not out.is_terminal or not rest:
            break
        left_out.append(rest[0])
    wide = out if out.is_terminal else Console(file=out.file, width=max(width, out.width))
    wide.print(table)
    if left_out:
        out.print(Text(f"not shown for lack of width: {', '.join(left_out)}", "dim"))
