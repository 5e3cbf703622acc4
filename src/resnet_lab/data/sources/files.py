"""Open arrays, tables and Hugging Face sets; what is wrong with one is a line that names it."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lab.data.decoding.decode import error_text

Rows = list[dict[str, str]]


@contextmanager
def open_arrays(file: str) -> Iterator[Mapping[str, Any]]:
    """Open a file of arrays by name: .npz, .h5 or .hdf5."""
    try:
        if file.endswith((".h5", ".hdf5")):
            from h5py import File
        else:
            File = np.load
        with File(file) as arrays:
            yield arrays
    except ImportError:
        raise ValueError(f"{file}: needs h5py: pip install 'resnet-lab[hdf5]'") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"data.file={file} cannot be read: {error}") from error


def read_table(file: str) -> Rows:
    """Return the rows of a CSV file with a header, separated by commas, semicolons or tabs."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data.file={file} cannot be read: {error}") from error
    first = text.partition("\n")[0]
    rows = list(csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=first.count)))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{file}: a row has more or fewer columns than the first line")
    return rows


def check_columns(of: str, columns: Sequence[str], needed: Sequence[str]) -> None:
    """Raise a ValueError that names the first of the needed columns that is not there."""
    for name in needed:
        if name not in columns:
            there = ", ".join(columns) or "none"
            raise ValueError(f"{of} has the columns {there}: {name} is missing")


def numbers_of(file: str, rows: Rows, columns: Sequence[str], *, binary: bool) -> list[list[float]]:
    """Return some columns of a table as numbers, which are 0 or 1 if `binary`."""

    def number(row: dict[str, str], name: str) -> float:
        try:
            value = float(row[name])
        except ValueError:
            value = float("nan")
        if not isfinite(value) or (binary and value not in (0, 1)):
            wanted = "0 or 1, as each of several labels is" if binary else "a number"
            raise ValueError(f"{file}: {name}={row[name]}: must be {wanted}")
        return value

    return [[number(row, name) for name in columns] for row in rows]


def load_from_hub(dataset: str, options: dict[str, Any]) -> dict[str, Any]:
    """Load the splits of a Hugging Face set by name: from a folder, or else from the hub."""
    try:
        import datasets
    except ImportError:
        raise ValueError(
            "data=huggingface needs a package: pip install 'resnet-lab[huggingface]'"
        ) from None
    folder = Path(dataset).expanduser()
    try:
        if folder.is_dir():
            found = datasets.load_from_disk(folder)
        else:
            found = datasets.load_dataset(dataset, **options)
    except Exception as error:  # from the network, anything may come
        raise ValueError(f"data.dataset={dataset} cannot be read: {error_text(error)}") from error
    found = dict(found) if isinstance(found, dict) else {"train": found}
    if "train" not in found:
        raise ValueError(f"{dataset} has no split train: it has {', '.join(found)}")
    return found
