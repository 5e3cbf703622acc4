"""Escape text from elsewhere for terminals, Markdown and CSV.

A run directory, a data set or a sweep may come from elsewhere: its text is shown literally and must
not control a terminal, a spreadsheet or a page. HTML is escaped by
`resnet_lab.reporting.html`, plots by `resnet_lab.reporting.plots.figure.new_figure`.
"""

import csv
import io
import math
import re
from collections.abc import Iterable
from typing import Any

JOINERS = "\u200c\u200d"  # which many scripts and emoji need
FORMULA = ("=", "+", "-", "@")


def printable(text: object) -> str:
    """Return a text in one line, with control characters escaped.

    White space becomes a space; control characters, direction marks and whatever else is not
    printable become their codes: an escape is shown as x1b behind a backslash.
    """
    text = str(text)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    if character.isspace():
        return " "
    return character.encode("unicode_escape").decode("ascii")


def printable_lines(text: str) -> str:
    """Return a text of any number of lines, each `printable`; tabs stay."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def printable_values(value: Any) -> Any:
    """Return what was read from JSON or YAML with every text in it `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable_values(item) for item in value]
    return value


def markdown(text: str) -> str:
    """Escape Markdown, HTML, links and mathematics in a text."""
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", printable(text))
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)  # resnet_20 is no emphasis
    text = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)
    return re.sub(r"&(?=#?\w+;)", r"\\&", text)


def markdown_code(text: str) -> str:
    """Return a text as a Markdown code span; it may hold backticks."""
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padded = f" {text} " if text[:1] == "`" or text[-1:] == "`" else text
    return f"{fence}{padded}{fence}"


def csv_cell(value: object) -> object:
    """Return a value for a CSV file; an apostrophe stands before text that looks like a formula."""
    if value is None or isinstance(value, int | float):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) and not _is_number(text) else text


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """Format rows as CSV, with a column for each key; see `csv_cell`."""
    rows, text = list(rows), io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, names))
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
