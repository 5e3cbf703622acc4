"""Decode pictures of any size and mode into uint8 images of one size, in threads."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from resnet_lab.core.threads import available_cores
from resnet_lab.data.decoding.modes import to_8_bits
from resnet_lab.data.pixels import ByUser, Fit, Pixels, Range, check_fit, limits, sides

Look = tuple[tuple[int, int], str]  # width and height of a picture, and its mode

CHUNK = 64  # images a thread takes at once
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")

# By Pillow's names. It knows forty more, some of which start other programs or read other files.
FORMATS = {
    "BMP": {"bmp"}, "GIF": {"gif"}, "JPEG": {"jfif", "jpeg", "jpg"}, "PNG": {"png"},
    "PPM": {"pgm", "ppm"}, "TIFF": {"tif", "tiff"}, "WEBP": {"webp"},
}  # fmt: skip
EXTENSIONS = frozenset().union(*FORMATS.values())

TURNS = {  # by the number that a camera writes
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """Describe the images that pictures are decoded into.

    Args:
        height: in pixels.
        width: in pixels.
        channels: 1 or 3.
        fit: `crop` fits the shorter side and cuts the centre out, `pad` fits the longer side and
            fills up with black, `stretch` does not keep the proportions.
        extent: see `pixels.to_bytes`.
        centre: with `crop`, share of the picture's sides that the centre is cut out of.
    """

    height: int
    width: int
    channels: int
    fit: Fit = "crop"
    extent: Range = "auto"
    centre: float = 1.0

    @classmethod
    def of(
        cls, image_size: Any, channels: int, fit: Fit = "crop", extent: Range = "auto"
    ) -> "Form":
        """Build it from the arguments of a source.

        Raises:
            ValueError: an argument is out of range.
        """
        height, width = sides(image_size)
        if channels not in (1, 3):
            raise ValueError(f"channels={channels}: must be 1 or 3")
        check_fit(fit)
        return cls(height, width, channels, fit, limits(extent) or "auto")

    def __str__(self) -> str:
        ends = "" if self.extent == "auto" else "-{:g}-{:g}".format(*self.extent)
        return f"{self.height}x{self.width}x{self.channels}-{self.fit}{ends}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return height, width and channels."""
        return self.height, self.width, self.channels


def load(path: Path, form: Form) -> Pixels:
    """Read a picture file: its first frame, upright, as uint8 [height, width, channels].

    Raises:
        Exception: whatever Pillow raises for a file that it cannot read.
    """
    with Image.open(path, formats=tuple(FORMATS)) as image:
        # A JPEG is decoded straight to 1/2, 1/4 or 1/8 of its size, as long as that is enough.
        needed = math.ceil(form.width / form.centre), math.ceil(form.height / form.centre)
        image.draft("L" if form.channels == 1 else "RGB", needed)
        return to_pixels(image, form)


def to_pixels(image: Image.Image, form: Form) -> Pixels:
    """Turn a picture upright, to grey or RGB (see `modes`), and to one size.

    Bilinear, antialiased.
    """
    original, image = image, to_8_bits(image, form.channels, form.extent)
    image = upright(original, image)
    size, bilinear = (form.width, form.height), Image.Resampling.BILINEAR
    if form.fit == "crop":
        image = ImageOps.fit(image, size, bilinear, bleed=(1 - form.centre) / 2)
    elif form.fit == "pad":
        image = ImageOps.pad(image, size, bilinear)
    else:
        image = image.resize(size, bilinear)
    return np.asarray(image).reshape(form.shape)


def upright(original: Image.Image, image: Image.Image) -> Image.Image:
    """Turn what was made of a picture, as the camera says in the picture's file."""
    # Asked after it was loaded: TIFFs, Pillow turns by itself then.
    turn = TURNS.get(original.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def allocate(shape: tuple[int, ...]) -> Pixels:
    """Return uninitialised uint8 pixels of that shape.

    Raises:
        ValueError: they would take more than half of the memory that is free.
    """
    needed, free = int(np.prod(shape, dtype=np.int64)), free_memory()
    if free is not None and needed > free / 2:
        count, height, width, channels = shape
        raise ValueError(
            f"{count:,} images of {height}x{width}x{channels} take {needed / 2**30:.2f} GiB and "
            f"{free / 2**30:.2f} GiB of memory are free, of which at most half is used: choose a "
            "smaller image_size, or for a folder of images name a folder for its `cache` on disk"
        )
    return np.empty(shape, np.uint8)


def free_memory() -> int | None:
    """Return the bytes of memory that this process may still take; None if that is unknown."""
    found = []
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        # A container's limit; "max" when it has none. Of what it uses, files that were read can be
        # dropped at any time.
        limit, used, kinds = (
            (CGROUP / name).read_text() for name in ("memory.max", "memory.current", "memory.stat")
        )
        if limit.strip().isdigit():
            files = dict(line.split() for line in kinds.splitlines()).get("inactive_file", 0)
            found.append(max(0, int(limit) - int(used) + int(files)))
    except OSError:
        pass
    return min(found, default=None)


def decode_pictures(
    count: int, picture: Callable[[int], Path | Image.Image], form: Form, name: Callable[[int], Any]
) -> Tensor:
    """Decode so many pictures, uint8 [count, height, width, channels]; see `decode_all`."""
    pixels = allocate((count, *form.shape))

    def load_one(index: int) -> Pixels:
        found = picture(index)
        return load(found, form) if isinstance(found, Path) else to_pixels(found, form)

    decode_all(pixels, load_one, name)
    return torch.from_numpy(pixels)


def looks(count: int, picture: Callable[[int], Path | Image.Image]) -> list[Look]:
    """Return (width, height) and mode of about 64 of so many pictures."""
    found: list[Look] = []
    for index in range(0, count, -(-count // 64)):
        one = picture(index)
        with Image.open(one, formats=tuple(FORMATS)) if isinstance(one, Path) else one as image:
            found.append((image.size, image.mode))
    return found


def decode_all(pixels: Pixels, decode: Callable[[int], Pixels], name: Callable[[int], Any]) -> None:
    """Fill `pixels[i]` with `decode(i)`, in threads: Pillow releases the GIL.

    Raises:
        ValueError: some images cannot be read; names the first one and their number.
    """
    failures: dict[int, Exception] = {}

    def fill(start: int) -> None:
        for index in range(start, min(start + CHUNK, len(pixels))):
            try:
                pixels[index] = decode(index)
            except Exception as error:
                failures[index] = error

    pool = ThreadPoolExecutor(available_cores())
    try:
        for _ in pool.map(fill, range(0, len(pixels), CHUNK)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    if failures:
        first = min(failures)
        said = f"{name(first)} ({error_text(failures[first])})"
        if isinstance(failures[first], ByUser):
            raise ByUser(
                f"{len(failures)} of {len(pixels)} images cannot be read as configured, the first "
                f"is {said}"
            )
        raise ValueError(
            f"{len(failures)} of {len(pixels)} images cannot be read, the first is {said}: "
            "repair or delete them"
        )


def error_text(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
