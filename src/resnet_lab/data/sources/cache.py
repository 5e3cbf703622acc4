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
    """Return images that `fill` made and `folder` keeps; make them anew unless they are current.

    Several processes may call this at once: one makes the images and the others wait. Half-written
    images are never used.

    Args:
        folder: made if it is not there.
        name: of the pair of files, without an extension.
        fingerprint: of the files and the settings that the images depend on; stored beside them.
        shape: of the images, [N, H, W, C].
        fill: writes the images into an array of that shape.

    Returns:
        uint8 [N, H, W, C], mapped from the file: memory holds only what is in use.

    Raises:
        ValueError: the disk has not enough room.
    """
    data, note = folder / f"{name}.npy", folder / f"{name}.json"
    if not _is_current(data, note, fingerprint, shape):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{name}.lock"):
            if not _is_current(data, note, fingerprint, shape):
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
