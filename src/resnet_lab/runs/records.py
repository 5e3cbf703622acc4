"""The files that hold a run's curves, safe to be killed at any moment: metrics.csv and event files.

Rows are appended in whole lines; a file that has to change is replaced by a new one. What a kill or
a power cut left half written at the end is read past, and taken out by the next rewind.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from resnet_lab.core.files import replacing

EVENTS = "events.out.tfevents.*"


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace a metrics.csv."""
    header = dict(zip(columns, columns, strict=True))
    with replacing(path) as part:
        part.write_text(as_csv(columns, [header, *rows]), newline="")


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows of a metrics.csv, without what is damaged or half written."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return [], []
    whole = text[: text.rfind("\n") + 1].replace("\0", "")
    reader = csv.DictReader(io.StringIO(whole))
    columns = list(reader.fieldnames or ())
    if "step" not in columns:
        return [], []
    # A torn row has fields too many, whose key is None, or too few, whose values are.
    rows = [row for row in reader if None not in row and None not in row.values()]
    return columns, [row for row in rows if row["step"].isdecimal()]


def as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()


def rewind_events(directory: Path, step: int, before: int) -> None:
    """Drop the events from `step` on, and what cannot be read.

    They are taken out of the files. TensorBoard knows a mark that hides events, but it hides what a
    reader happens to have read before it. Readers go by the order of the files' names, which begin
    with the second of making: files that seem to come from the future (the clock was set back, they
    are not from `before` that second) get names that sort before those of new files.
    """
    paths = sorted(directory.glob(EVENTS))
    late = any(path.name.split(".")[3] >= f"{before:010d}" for path in paths)
    for number, path in enumerate(paths):
        if late:
            parts = path.name.split(".")
            parts[3] = f"{number:010d}"
            path = path.rename(path.with_name(".".join(parts)))
        kept = [(event, record) for event, record in _events(path) if _stays(event, step)]
        if all(event.HasField("file_version") for event, _ in kept):
            path.unlink()
            continue
        with replacing(path) as part, part.open("wb") as file:
            writer = RecordWriter(file)
            for _, record in kept:
                writer.write(record)


def _events(path: Path) -> Iterator[tuple[Event, bytes]]:
    if path.stat().st_size == 0:
        return
    for record in RawEventFileLoader(str(path)).Load():
        event = Event()
        event.ParseFromString(record)
        yield event, record


def _stays(event: Event, step: int) -> bool:
    """Whether an event is from before a step; the first of a file says which format it has."""
    what = event.WhichOneof("what")
    return what == "file_version" or (int(event.step) < step and what != "session_log")
