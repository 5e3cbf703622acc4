"""Pictures that a CSV file lists, with their labels."""

from dataclasses import dataclass
from pathlib import Path

import torch

from resnet_lab.data.decoding import decode
from resnet_lab.data.sources.base import Images, PictureSource
from resnet_lab.data.sources.files import Rows, check_columns, numbers_of, read_table

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

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted; of several labels or numbers, their columns."""
        rows, _, labels = self._table()
        if len(labels) > 1 or self.numbers:
            return tuple(labels)
        names = {row[labels[0]] for row in rows}
        return tuple(sorted(names, key=int if all(n.isdecimal() for n in names) else None))

    def found(self) -> set[str]:
        """Return the splits that the table names; without a column `split`, all is train."""
        return {row.get("split", "train") for row in self._table()[0]}

    def looks(self) -> list[decode.Look]:
        rows, path, _ = self._table()
        return decode.looks(len(rows), lambda index: Path(self.file).parent / rows[index][path])

    def read_found(self, split: str) -> Images:
        rows, path, labels = self._table()
        rows = [row for row in rows if row.get("split", "train") == split]
        files = [Path(self.file).parent / row[path] for row in rows]
        pixels = decode.decode_pictures(len(rows), files.__getitem__, self.form, files.__getitem__)
        if len(labels) > 1 or self.numbers:
            numbers = numbers_of(self.file, rows, labels, binary=not self.numbers)
            return Images(pixels, torch.tensor(numbers))
        index = {name: number for number, name in enumerate(self.classes)}
        return Images(pixels, torch.tensor([index[row[labels[0]]] for row in rows]))

    def data_files(self) -> list[Path]:
        rows, path, _ = self._table()
        return [Path(self.file), *(Path(self.file).parent / row[path] for row in rows)]

    def _table(self) -> tuple[Rows, str, list[str]]:
        """Return the rows, the column of paths and those of labels."""
        rows = read_table(self.file)
        columns = list(rows[0]) if rows else []
        path = self.path or next(iter(columns), "path")
        labels = [self.label] if isinstance(self.label, str) else list(self.label or ())
        labels = labels or [name for name in columns if name not in (path, "split")]
        check_columns(self.file, columns, [path, *(labels or ["one of labels"])])
        for row in rows:
            if empty := [name for name in (path, *labels) if not row[name].strip()]:
                raise ValueError(f"{self.file}: the row of {row[path]!r} has no {empty[0]}")
            if row.get("split", "train") not in SPLITS:
                raise ValueError(f"{self.file}: split={row['split']}: use {', '.join(SPLITS)}")
        return rows, path, labels
