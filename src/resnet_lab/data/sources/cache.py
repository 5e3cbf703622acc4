"""Cache decoded images on disk, so that the next run starts at once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from resnet_lab.data.pixels import Pixels

open_memmap: Callable[..., Any] = np.lib.format.open_memmap  # has no types before numpy 2.3


def cached(
    folder: Path,
    name: str,
    fingerprint: str,
    shape: tuple[int, ...],
    fill: Callable[[Pixels], None],
) -> Tensor:
    """Return images, uint8 of this shape, which `fill` made once and the folder keeps as `name`.

    They are mapped from the file: memory holds only what is in use. They are made anew when the
    fingerprint, which is stored beside them, differs. Several processes may call this at once, and
    half-written images are never used.

    Raises:
        ValueError: the disk has not enough room.
    """
    data, note = folder / f"{name}.npy", folder / f"{name}.json"
    if not _is_current(data, note, fingerprint, shape):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            if not _is_current(data, note, fingerprint, shape):  # another process has not made them
                needed, free = int(np.prod(shape, dtype=np.int64)), shutil.disk_usage(folder).free
                if needed > free:  # writing on to a full disk through a map would kill the process
                    raise ValueError(
                        f"cache={folder} needs {needed / 2**30:.2f} GiB and has "
                        f"{free / 2**30:.2f}: choose another folder or a smaller image_size"
                    )
                part = folder / f"{name}.part"
                try:
                    pixels = open_memmap(part, "w+", np.uint8, shape)
                    fill(pixels)
                    pixels.flush()
                    part.replace(data)
                    part.write_text(fingerprint)
                    part.replace(note)
                finally:
                    part.unlink(missing_ok=True)
    # Copy on write: torch wants memory that it may write to, and the file stays as it is.
    return torch.from_numpy(np.load(data, mmap_mode="c"))


def _is_current(data: Path, note: Path, fingerprint: str, shape: tuple[int, ...]) -> bool:
    try:
        stored = note.read_text()
        return stored == fingerprint and np.load(data, mmap_mode="r").shape == shape
    except (OSError, ValueError):
        return False
