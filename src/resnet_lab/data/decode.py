"""Turn pictures of any size and mode into uint8 images of one size, in threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from resnet_lab.threads import available_cores

Pixels = npt.NDArray[np.uint8]
Fit = Literal["crop", "stretch", "pad"]
CHUNK = 64  # images a thread takes at once


def load(path: Path, image_size: int, channels: int, fit: Fit = "crop") -> Pixels:
    """Read a picture file: its first frame, upright, as uint8 [image_size, image_size, channels].

    Raises:
        Exception: whatever Pillow raises for a file that it cannot read.
    """
    with Image.open(path) as image:
        # A JPEG is decoded straight to 1/2, 1/4 or 1/8 of its size, as long as that is enough.
        image.draft("L" if channels == 1 else "RGB", (image_size, image_size))
        return to_pixels(image, image_size, channels, fit)


def to_pixels(image: Image.Image, image_size: int, channels: int, fit: Fit = "crop") -> Pixels:
    """Turn a picture upright, to grey or RGB, and to one size (bilinear, antialiased).

    Args:
        image: of any mode; transparency is laid on white, 16 bits a channel are scaled to 8.
        image_size: height and width wanted, in pixels.
        channels: 1 or 3.
        fit: `crop` fits the shorter side and cuts the centre out, `pad` fits the longer side and
            fills up with black, `stretch` does not keep the proportions.
    """
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray(np.rint(np.clip(np.asarray(image) / 257, 0, 255)).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    size, bilinear = (image_size, image_size), Image.Resampling.BILINEAR
    if fit == "crop":
        image = ImageOps.fit(image, size, bilinear)
    elif fit == "pad":
        image = ImageOps.pad(image, size, bilinear)
    else:
        image = image.resize(size, bilinear)
    return np.asarray(image).reshape(image_size, image_size, channels)


def check_form(image_size: int, channels: int, fit: str) -> None:
    """Raise a ValueError for a size, number of channels or fit that cannot be."""
    if image_size < 1:
        raise ValueError(f"image_size={image_size}: needs a whole number from 1")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: pictures are read with 1 channel or 3")
    if fit not in get_args(Fit):
        raise ValueError(f"fit={fit}: choose one of {', '.join(get_args(Fit))}")


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
    """Return the bytes of memory that this process may still take; None where nothing says so."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
        # A container's limit; "max" when it has none.
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit.isdigit():
            found.append(int(limit))
    except OSError:
        pass
    return min(found, default=None)


def decode_all(pixels: Pixels, decode: Callable[[int], Pixels], name: Callable[[int], Any]) -> None:
    """Fill `pixels[i]` with `decode(i)`, in threads: Pillow lets go of the interpreter's lock.

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
        raise ValueError(
            f"{len(failures)} of {len(pixels)} images cannot be read, the first is {name(first)} "
            f"({one_line(failures[first])}): repair or delete them"
        )


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
