"""A set of pictures of the Hugging Face hub, or one that `save_to_disk` wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_lab.data.decoding import decode
from resnet_lab.data.sources.base import Images, Options, PictureSource
from resnet_lab.data.sources.files import load_from_hub


@dataclass(frozen=True)
class HuggingFaceSource(PictureSource):
    """Read pictures and classes with the package `datasets`.

    Args:
        dataset: name on the hub, or a folder that `save_to_disk` wrote, which needs no network.
        options: of `datasets.load_dataset`, such as name or revision; a null is left out.
        image: column of the pictures; None: the first one that holds some.
        label: column of the classes; None: the first one that holds classes.
    """

    dataset: str
    options: Options = ()
    image: str | None = None
    label: str | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        rows, _, label = self._columns("train")
        names = getattr(rows.features[label], "names", None)
        return tuple(names or map(str, range(max(rows[label]) + 1)))

    def found(self) -> dict[str, Any]:
        """Return the rows by split; `validation` is the test split where there is no `test`."""
        sets = load_from_hub(self.dataset, dict(self.options))
        held_out = [sets[name] for name in ("test", "validation") if name in sets]
        return {"train": sets["train"], **dict(zip(("test", "val"), held_out, strict=False))}

    def looks(self) -> list[decode.Look]:
        rows, image, _ = self._columns("train")
        return decode.looks(len(rows), lambda index: rows[index][image])

    def read_found(self, split: str) -> Images:
        rows, image, label = self._columns(split)
        name = f"number {{}} of {self.dataset}".format
        pixels = decode.decode_pictures(len(rows), lambda i: rows[i][image], self.form, name)
        return Images(pixels, torch.tensor(list(rows[label])))

    def data_files(self) -> list[Path]:
        sets = load_from_hub(self.dataset, dict(self.options)).values()
        return [Path(file["filename"]) for rows in sets for file in rows.cache_files]

    def _columns(self, split: str) -> tuple[Any, str, str]:
        """Return the rows of a split, and its columns of pictures and classes."""
        rows, columns = self.found()[split], []
        kinds = {column: type(kind).__name__ for column, kind in rows.features.items()}
        for given, kind, key in (self.image, "Image", "image"), (self.label, "ClassLabel", "label"):
            column = given or next((name for name in kinds if kinds[name] == kind), "")
            if column not in kinds:
                there = ", ".join(kinds)
                raise ValueError(f"{self.dataset} has the columns {there}: set data.source.{key}")
            columns.append(column)
        return rows, columns[0], columns[1]
