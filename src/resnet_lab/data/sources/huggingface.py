"""A set of pictures of the Hugging Face hub, or one that `save_to_disk` wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_lab.data.decoding import decode
from resnet_lab.data.sources.base import Images, PictureSource, check_split, part_of

Options = tuple[tuple[str, Any], ...] | dict[str, Any]


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

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.dataset).expanduser().is_dir():
            object.__setattr__(self, "dataset", str(Path(self.dataset).expanduser().absolute()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        rows, _, label = self._rows("train")
        names = getattr(rows.features[label], "names", None)
        return tuple(names or map(str, range(max(rows[label]) + 1)))

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and test, and val where there is a split `validation` beside `test`."""
        own = {"validation", "test"} <= self._sets().keys()
        return ("train", "val", "test") if own else ("train", "test")

    def prepare(self) -> None:
        """Download what is missing."""
        self._rows("train")

    def looks(self) -> list[decode.Look]:
        """Return width, height and mode of some training pictures."""
        rows, image, _ = self._rows("train")
        return decode.looks(len(rows), lambda index: rows[index][image])

    def read(self, split: str) -> Images:
        """Decode one split; see `Source.read`."""
        check_split(split, self.splits)
        rows, image, label = self._rows(split)
        pixels = decode.decode_pictures(
            len(rows), lambda index: rows[index][image], self.form,
            name=lambda index: f"number {index} of {self.dataset}",
        )  # fmt: skip
        images = Images(pixels, torch.tensor(list(rows[label])))
        alone = split != "val" and not {"test", "validation"} & self._sets().keys()
        return part_of(images, split, self.test_fraction) if alone else images

    def data_files(self) -> list[Path]:
        """Return the files of all splits; none if they lie in memory."""
        files = (file for rows in self._sets().values() for file in rows.cache_files)
        return [Path(file["filename"]) for file in files]

    def _sets(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError:
            raise ValueError(
                "data=huggingface needs a package: pip install 'resnet-lab[huggingface]'"
            ) from None
        try:
            if Path(self.dataset).is_dir():
                found = datasets.load_from_disk(self.dataset)
            else:
                found = datasets.load_dataset(self.dataset, **dict(self.options))
        except Exception as error:  # from the network, anything may come
            said = decode.error_text(error)
            raise ValueError(f"data.dataset={self.dataset} cannot be read: {said}") from error
        return dict(found) if isinstance(found, dict) else {"train": found}

    def _rows(self, split: str) -> tuple[Any, str, str]:
        """Return the rows of a split, and its columns of pictures and classes."""
        sets = self._sets()
        names = {"val": ("validation",), "test": ("test", "validation", "train")}
        name = next((name for name in names.get(split, ("train",)) if name in sets), None)
        if name is None:
            raise ValueError(f"{self.dataset} has no split train: it has {', '.join(sets)}")
        kinds = {column: type(kind).__name__ for column, kind in sets[name].features.items()}
        columns: list[str] = []
        for given, kind, key in (self.image, "Image", "image"), (self.label, "ClassLabel", "label"):
            found = given or next((column for column in kinds if kinds[column] == kind), None)
            if found is None or found not in kinds:
                there = ", ".join(kinds)
                raise ValueError(f"{self.dataset} has the columns {there}: set data.source.{key}")
            columns.append(found)
        return sets[name], columns[0], columns[1]
