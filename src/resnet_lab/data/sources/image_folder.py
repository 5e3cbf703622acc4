"""Any folder of pictures, one sub-folder a class."""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from resnet_lab.core.files import cache_folder
from resnet_lab.data.decoding import decode
from resnet_lab.data.decoding.decode import EXTENSIONS, Form
from resnet_lab.data.decoding.pictures import Crops, Pictures, index
from resnet_lab.data.pixels import Pixels
from resnet_lab.data.sources.base import Images, PictureSource
from resnet_lab.data.sources.cache import cached
from resnet_lab.data.sources.folders import class_names, folders_in, has_splits, pictures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFolder(PictureSource):
    """Pictures in class folders, decoded once to images of one size.

    `root` holds one folder a class, or `train/` and, if there are such splits, `val/` and `test/`,
    which hold the class folders. Without `test/`, a share of each class is set aside as test
    split. Folders inside a class folder belong to that class; hidden and other files are ignored.

    Args:
        root: the folder.
        follow_links: whether links may lead out of `root`; those that stay in it are followed
            always.
        split_seed: which images are set aside, where there is no `test/`.
        test_folder: name of the folder that is the test split, where there are splits.
        streaming: whether the pictures stay on disk, and are decoded whenever they are needed.
        scale: with streaming, see `resnet_lab.data.decoding.pictures.Crops`.
        ratio: likewise.
        centre: with streaming, see `resnet_lab.data.decoding.decode.Form`.
        on_error: `skip` leaves pictures out that cannot be read, with streaming; `stop` stops.
        cache: a folder that keeps the decoded images, so that the next run starts at once and
            memory holds only what is in use; renewed when a file changes. None: no such folder.
            With streaming, it keeps the list of the files; None: a folder of the user's.
    """

    root: str
    image_size: int | list[int] | None = field(default=64, kw_only=True)
    channels: int | None = field(default=3, kw_only=True)
    follow_links: bool = False
    split_seed: int = 0
    cache: str | None = None
    test_folder: str = "test"
    streaming: bool | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    centre: float = 0.875
    on_error: Literal["stop", "skip"] = "stop"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.form  # refuses what it cannot be
        if not 0 < self.test_fraction < 1:
            raise ValueError(f"test_fraction={self.test_fraction}: lies between 0 and 1")
        if self.on_error not in ("stop", "skip"):
            raise ValueError(f"data.source.on_error={self.on_error}: use stop or skip")
        if self.on_error == "skip" and not self.streaming:
            raise ValueError("data.source.on_error=skip needs data.streaming=true")
        for name, low, high in (("scale", 0, 1), ("ratio", 0, 100), ("centre", 0, 1)):
            value = getattr(self, name)
            pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
            if len(pair) != 2 or not low < pair[0] <= pair[1] <= high:
                raise ValueError(f"data.source.{name}={value}: must lie above {low}, up to {high}")

    @property
    def form(self) -> Form:
        """What pictures are decoded to."""
        return replace(super().form, centre=self.centre) if self.streaming else super().form

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class folders, sorted."""
        return class_names(self.root)

    def found(self) -> list[str]:
        """Return the splits; where there is no folder for it, test is a part of train."""
        own = has_splits(Path(self.root)) and (Path(self.root) / "val").is_dir()
        return ["train", "val", "test"] if own and self.test_folder != "val" else ["train", "test"]

    def prepare(self) -> None:
        """Look through the folder; raise a ValueError unless it is laid out as a set of images."""
        for name in ("valid", "validation", "dev"):
            if has_splits(Path(self.root)) and (Path(self.root) / name).is_dir():
                raise ValueError(f"{Path(self.root) / name} would not be used: rename it to val")
        for split in self.splits:
            if self.streaming:
                self._stream(split)
            elif split != "test" or not self._place(split)[1]:  # else it is part of train
                list(self._list(split))

    def read_found(self, split: str) -> Images:
        """Decode a split, or take it from the cache."""
        if self.streaming:
            return self._stream(split)
        files = list(self._list(split))
        labels = torch.tensor([label for _, label in files])
        return Images(self._pixels(split, [path for path, _ in files]), labels)

    def files(self, split: str) -> list[Path]:
        """Return the paths of a split's pictures below `root`, in the order of `read`."""
        return [path.relative_to(self.root) for path, _ in self._list(split)]

    def data_files(self) -> list[Path]:
        """Return the paths of all pictures."""
        return [path for split in self.splits for path, _ in self._list(split)]

    def _stream(self, split: str) -> Images:
        """Return the pictures of a split as they lie on disk."""
        folder = Path(self.cache).expanduser().absolute() if self.cache else cache_folder()
        key = (split, self.test_folder, self.test_fraction, self.split_seed, self.follow_links)
        names, labels = index(folder, repr(key), self.root, lambda: self._list(split))
        crops = Crops(self.scale, self.ratio)
        pictures: Any = Pictures(self.root, names, self.form, crops, skip=self.on_error == "skip")
        return Images(pictures, labels)

    def _list(self, split: str) -> Iterator[tuple[Path, int]]:
        """Yield path and label of a split's pictures, sorted by class and path."""
        root, classes = Path(self.root), self.classes
        folder, held_out = self._place(split)
        names = {entry.name for entry in folders_in(folder)}
        for name in sorted(names ^ set(classes)):
            here, there = (split, "train") if name in names else ("train", split)
            raise ValueError(
                f"class {name!r} has a folder in {root / here} and none in {root / there}: "
                f"every split needs the same classes; add it, or remove {root / split}"
            )
        for label, name in enumerate(classes):
            paths = pictures(folder / name, None if self.follow_links else root)
            if not paths:
                raise ValueError(
                    f"class folder {folder / name} holds no images: add some ("
                    f"{' '.join(sorted(EXTENSIONS))}), or remove the folder"
                )
            if held_out:
                paths = self._share(split, folder, paths)
            yield from ((path, label) for path in paths)

    def _place(self, split: str) -> tuple[Path, bool]:
        """Return the folder of a split, and whether train and test share it."""
        root = Path(self.root)
        if not has_splits(root):
            return root, True
        held_out = split != "val" and not (root / self.test_folder).is_dir()
        name = self.test_folder if split == "test" else split
        return root / ("train" if held_out else name), held_out

    def _share(self, split: str, folder: Path, paths: list[Path]) -> list[Path]:
        """Return the part of a class's pictures that belongs to train or to test."""
        if len(paths) == 1:
            raise ValueError(
                f"class folder {paths[0].parent} holds 1 image: a class needs two or more, one "
                "each to train and to test with"
            )

        # Drawn by a hash of the name: when pictures come or go, all but a few of the others stay on
        # their side, and what a network was trained on does not become its test.
        def draw(path: Path) -> bytes:
            name = f"{self.split_seed}/{os.fspath(path)[len(str(folder)) :]}"
            return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()

        count = min(max(round(len(paths) * self.test_fraction), 1), len(paths) - 1)
        last = sorted(map(draw, paths))[count - 1]
        return [path for path in paths if (draw(path) <= last) == (split == "test")]

    def _pixels(self, split: str, paths: Sequence[Path]) -> Tensor:
        form, shape = self.form, (len(paths), *self.form.shape)

        def fill(pixels: Pixels) -> None:
            log.info("decoding %s images of %s", f"{len(paths):,}", self.root)
            decode.decode_all(pixels, lambda i: decode.load(paths[i], form), paths.__getitem__)

        if self.cache is None:
            fill(pixels := decode.allocate(shape))
            return torch.from_numpy(pixels)
        folder = Path(self.cache).expanduser().absolute()
        return cached(folder, f"{split}-{form}", self._fingerprint(paths), shape, fill)

    def _fingerprint(self, paths: Sequence[Path]) -> str:
        """Return JSON that differs when a picture, or what is made of it, differs."""
        digest = hashlib.sha256()
        for path in paths:
            state = path.stat()
            entry = f"{os.path.relpath(path, self.root)}\0{state.st_size}\0{state.st_mtime_ns}\0"
            digest.update(entry.encode("utf-8", "surrogateescape"))
        form = dataclasses.asdict(self.form)
        return json.dumps({**form, "images": len(paths), "sha256": digest.hexdigest()})
