"""Find the picture files that a person names: files, folders, patterns, lists."""

import csv
import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from resnet_lab.data.sources.folders import pictures

COLUMNS = ("path", "file", "filename", "image")  # of a list, the first one that it has


def find_pictures(given: Sequence[str], standard_input: Iterable[str] = ()) -> list[Path]:
    """Return the picture files that a person names, each once, in the order of their naming.

    They are files, folders (with everything below them), patterns such as `photos/*.jpg`, lists
    (`.csv` and `.tsv` files), and `-` for the lines of standard input. A list has a column `path`,
    `file`, `filename` or `image`, or else the first one counts; paths in it are relative to its
    folder.

    Raises:
        ValueError: something that was named does not exist, or holds no pictures.
    """
    found: dict[Path, None] = {}
    for name in given:
        path = Path(name)
        if name == "-":
            paths = [Path(line.strip()) for line in standard_input if line.strip()]
        elif name and path.is_dir():
            paths = pictures(path)
        elif path.suffix.lower() in (".csv", ".tsv") and path.is_file():
            paths = _listed(path)
        elif path.is_file():
            paths = [path]
        else:
            paths = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207
            paths = [match for match in paths if match.is_file()]
            if not paths:
                raise ValueError(f"{name}: no such file or folder, and no file matches it")
        if not paths:
            said = "standard input names no files" if name == "-" else f"{name} holds no pictures"
            raise ValueError(said)
        found |= dict.fromkeys(paths)
    return list(found)


def _listed(path: Path) -> list[Path]:
    """Return the files that a list names."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
            rows = [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a list of files: {error}") from error
    head = [name.strip().lower() for name in rows[0]] if rows else []
    column = next((head.index(name) for name in COLUMNS if name in head), None)
    rows = rows if column is None else rows[1:]
    names = [row[column or 0] for row in rows if len(row) > (column or 0)]
    return [path.parent / name for name in names if name]
