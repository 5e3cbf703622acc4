"""The interface of a source of images, what sources share, and one cache of what was read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from resnet_lab.data.decoding.decode import Form, Look
from resnet_lab.data.pixels import Fit, limits, sides
from resnet_lab.data.splits import stratified_split

Options = Mapping[str, Any] | tuple[tuple[str, Any], ...]


class Images(NamedTuple):
    """A labelled set of images in memory.

    The kind of labels decides which task fits them:

    - one class per image: int64 [N], the index in `Source.classes`
    - several labels per image (`task=multilabel`): 0 or 1, uint8 or float32 [N, L], one column
      for each of `Source.classes`
    - numbers (`task=regression`): float32 [N] or [N, 1]; `Source.classes` holds their one name

    A reader may give any of these; `read` returns all but the first as float32 [N, L].
    """

    pixels: Tensor  # uint8 [N, H, W, C], contiguous
    labels: Tensor


class Source(Protocol):
    """Interface of a data set; hashable, so that equal sources share what was read.

    A method `data_files()`, if there is one, returns the paths of the files whose SHA-256 a run
    records.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, labels or numbers, one per output of a network; after `prepare`."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: train and test, and val where the source has its own."""
        ...

    def __hash__(self) -> int:
        """Equal sources are read once."""
        ...

    def prepare(self) -> None:
        """Fetch what is missing; safe when several processes call it at once."""
        ...

    def read(self, split: str) -> Images:
        """Read that split and no other.

        Raises:
            ValueError: no such split, or its files are missing or damaged.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SplitSource:
    """Base of the sources here: splits are found, and equal sources stay equal and have a hash.

    Paths become absolute, as the working directory may change, and lists and mappings tuples; a
    null in a mapping is left out.

    Args:
        test_fraction: share of each class that is set aside, where there is no test split.
    """

    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, _settled(name, value))

    def prepare(self) -> None:
        """Check that the set can be read."""
        self.found()

    def found(self) -> Collection[str]:
        """Return which of the splits train, val and test the set itself has."""
        raise NotImplementedError

    def read_found(self, split: str) -> Images:
        """Read one of these."""
        raise NotImplementedError

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and test, and val where the set has it."""
        return ("train", "val", "test") if "val" in self.found() else ("train", "test")

    def read(self, split: str) -> Images:
        """Read one split; see `Source.read`.

        Where the set has no test split, it is a stratified share of train, drawn by a fixed seed:
        the same one whatever seeds a run uses.
        """
        check_split(split, self.splits)
        if split == "val" or "test" in self.found():
            return self.read_found(split)
        pixels, labels = self.read_found("train")
        chosen = stratified_split(labels, self.test_fraction, seed=0)[split == "test"]
        return Images(pixels[chosen], labels[chosen])


def _settled(name: str, value: Any) -> Any:
    if name in ("file", "root"):
        return str(Path(value).expanduser().absolute())
    if name == "range":
        return limits(value) or "auto"
    if name == "image_size" and value is not None:
        return sides(value)
    if isinstance(value, Mapping):
        return tuple(sorted((key, each) for key, each in value.items() if each is not None))
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class PictureSource(SplitSource):
    """Base of the sources that decode pictures to images of one size.

    Args:
        image_size: of both sides in pixels, or [height, width]; None: not known yet.
        channels: 1 or 3; None: not known yet.
        fit: `crop`, `pad` or `stretch`, see `resnet_lab.data.decoding.decode.Form`.
        range: the values that are black and white, where they are no bytes; see
            `resnet_lab.data.pixels.to_bytes`.
    """

    image_size: int | list[int] | None = None
    channels: int | None = None
    fit: Fit = "crop"
    range: Literal["auto"] | list[float] = "auto"

    @property
    def form(self) -> Form:
        """The form of the decoded images."""
        return Form.of(self.image_size, self.channels or 3, self.fit, self.range)

    def looks(self) -> list[Look]:
        """Return size and mode of some pictures; asked where image_size or channels are None."""
        raise NotImplementedError


@lru_cache(maxsize=3)  # train, val and test of one source
def read(source: Source, split: str) -> Images:
    """Read a split once for all the jobs of this process.

    The tensors are shared: do not write to them.

    Raises:
        ValueError: they are not what `Source.read` promises; names the remedy.
    """
    of, (pixels, labels) = f"{type(source).__name__}.read({split!r})", source.read(split)
    shape, wrong = tuple(pixels.shape), ""
    if pixels.ndim != 4:
        wrong = "pixels.unsqueeze(-1)" if pixels.ndim == 3 else "four dimensions"
    elif shape[3] not in (1, 3) and shape[1] in (1, 3):
        wrong = "pixels.permute(0, 2, 3, 1)"
    if wrong:
        raise ValueError(f"{of} gives pixels {shape} where [N, H, W, C] is needed: use {wrong}")
    if pixels.dtype != torch.uint8:
        raise ValueError(
            f"{of} gives pixels of {pixels.dtype} where uint8 is needed: scale them with "
            "resnet_lab.data.pixels.to_bytes(array, [black, white])"
        )
    return Images(pixels.contiguous(), _checked_labels(labels, shape[0], of))


def _checked_labels(labels: Tensor, count: int, of: str) -> Tensor:
    """Return the labels of `count` images, see `Images`: int64 [N], or float32 [N, L]."""
    several = labels.dtype in (torch.uint8, torch.float32) and labels.ndim == 2 and labels.shape[1]
    single = labels.dtype in (torch.int64, torch.float32) and labels.ndim == 1
    if not (several or single) or not count or len(labels) != count:
        raise ValueError(
            f"{of} gives labels {tuple(labels.shape)} of {labels.dtype} for {count} images: one "
            "int64 is needed for each image, and one image at least; or uint8 or float32 [N, L] "
            "for several labels, float32 [N] for numbers"
        )
    if labels.dtype == torch.int64:
        if int(labels.min()) < 0:
            raise ValueError(f"{of} gives the label {int(labels.min())}: classes count from 0")
        return labels
    if labels.dtype == torch.uint8 and int(labels.max()) > 1:
        raise ValueError(f"{of} gives the label {int(labels.max())}: several labels are 0 or 1")
    bad = (~labels.isfinite()).nonzero()
    if len(bad):
        raise ValueError(f"{of} gives a label that is not a number, of image {int(bad[0, 0])}")
    return labels.float().reshape(count, -1)


def check_split(split: str, splits: tuple[str, ...]) -> None:
    """Raise a ValueError unless `split` is one of `splits`."""
    if split not in splits:
        raise ValueError(f"no split {split!r}: this source has {', '.join(splits)}")
