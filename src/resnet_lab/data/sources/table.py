"""Pictures that a CSV file lists, with their labels."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnet_lab.data.decoding import decode
from resnet_lab.data.sources.base import Images, PictureSource, check_split, part_of

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class TableFile(PictureSource):
    """Read a table with a header: a column of paths, one of labels or several of 0 and 1.

    Paths are relative to the table. A column `split` with train, val or test, if there is one, says
    which picture is of which split; otherwise a part is set aside for the test.

    Args:
        file: CSV; the separator may be a comma, a semicolon or a tab.
        path: column of the paths; None: the first.
        label: column of the labels, or a list of columns that are 0 or 1; None: all the others.
        numbers: whether labels are numbers, for task=regression, rather than names of classes.
    """

    file: str
    path: str | None = None
    label: str | list[str] | None = None
    numbers: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.label, str):
            object.__setattr__(self, "label", (self.label,))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted; of several labels, their columns."""
        rows, _, labels = self._table()
        if len(labels) > 1 or self.numbers:
            return tuple(labels)
        names = {row[labels[0]] for row in rows}
        return tuple(sorted(names, key=int if all(n.isdecimal() for n in names) else None))

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and test, and val where the table has it."""
        own = any(row.get("split") == "val" for row in self._table()[0])
        return ("train", "val", "test") if own else ("train", "test")

    def prepare(self) -> None:
        """Check that the table can be read."""
        self._table()

    def looks(self) -> list[decode.Look]:
        """Return width, height and mode of some pictures."""
        rows, path, _ = self._table()
        return decode.looks(len(rows), lambda index: self._place(rows[index][path]))

    def read(self, split: str) -> Images:
        """Decode one split; see `Source.read`."""
        check_split(split, self.splits)
        rows, path, labels = self._table()
        alone = split != "val" and not any(row.get("split") == "test" for row in rows)
        wanted = "train" if alone else split
        rows = [row for row in rows if row.get("split", "train") == wanted]
        places = [self._place(row[path]) for row in rows]
        pixels = decode.decode_pictures(
            len(rows), places.__getitem__, self.form, places.__getitem__
        )
        if len(labels) > 1 or self.numbers:
            values = torch.tensor([[self._number(row, name) for name in labels] for row in rows])
            found = values if self.numbers or len(labels) == 1 else values.to(torch.uint8)
        else:
            index = {name: number for number, name in enumerate(self.classes)}
            found = torch.tensor([index[row[labels[0]]] for row in rows])
        images = Images(pixels, found)
        return part_of(images, split, self.test_fraction) if alone else images

    def data_files(self) -> list[Path]:
        """Return the table and the pictures that it names."""
        rows, path, _ = self._table()
        return [Path(self.file), *(self._place(row[path]) for row in rows)]

    def _place(self, name: str) -> Path:
        return Path(self.file).parent / name

    def _number(self, row: dict[str, Any], name: str) -> float:
        try:
            value = float(row[name])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value) or not (self.numbers or value in (0, 1)):
            wanted = "a number" if self.numbers else "0 or 1, as each of several labels is"
            raise ValueError(f"{self.file}: {name}={row[name]}: must be {wanted}")
        return value

    def _table(self) -> tuple[list[dict[str, Any]], str, list[str]]:
        """Return the rows, the column of paths and those of labels."""
        try:
            text = Path(self.file).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"data.file={self.file} cannot be read: {error}") from error
        first = text.partition("\n")[0]
        rows = list(csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=first.count)))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError(f"{self.file}: a row has more or fewer columns than the first line")
        columns = list(rows[0]) if rows else []
        path = self.path or next(iter(columns), "path")
        labels = list(self.label or [name for name in columns if name not in (path, "split")])
        lacking = [name for name in (path, *labels) if name not in columns]
        if lacking or not labels:
            what = lacking[0] if lacking else "one of labels"
            there = ", ".join(columns) or "none"
            raise ValueError(f"{self.file} has the columns {there}: {what} is missing")
        for row in rows:
            if empty := [name for name in (path, *labels) if not row[name].strip()]:
                raise ValueError(f"{self.file}: the row of {row[path]!r} has no {empty[0]}")
            if row.get("split", "train") not in SPLITS:
                raise ValueError(f"{self.file}: split={row['split']}: use {', '.join(SPLITS)}")
        return rows, path, labels
