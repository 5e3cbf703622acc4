"""Picture files that look like pixels in memory: decoded when they are asked for."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from resnet_lab.data.decoding.decode import FORMATS, Form, error_text, load, upright
from resnet_lab.data.decoding.modes import to_8_bits
from resnet_lab.data.pixels import Pixels

ATTEMPTS = 10  # to draw a crop that lies in the picture, as torchvision's


@dataclass(frozen=True)
class Crops:
    """What streaming cuts out of a picture."""

    scale: tuple[float, float] = (0.08, 1.0)  # in training, least and greatest share of the area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # in training, least and greatest width / height
    centre: float = 0.875  # in validation, share of the shorter side


class Pictures:
    """Pictures of a folder, as if they were uint8 [N, H, W, C].

    Indexing decodes the pictures as validation does: shorter side resized, centre cut out.

    Args:
        root: the folder.
        names: of the files below it, bytes [N]; may be mapped from a file.
        form: of the images.
        crops: that are cut out.
        skip: whether a picture that cannot be read is left out of its batch.
    """

    def __init__(
        self, root: str, names: npt.NDArray[np.bytes_], form: Form, crops: Crops, *, skip: bool
    ) -> None:
        self.root = root
        self.names = names
        self.form = form
        self.crops = crops
        self.skip = skip
        self.shape = (len(names), *form.shape)
        self.ndim = 4
        self.dtype = torch.uint8
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices: Tensor) -> Tensor:
        if not len(indices):
            return torch.empty(0, *self.shape[1:], dtype=torch.uint8)
        return torch.stack([self._load_or_black(int(index)) for index in indices])

    def _load_or_black(self, index: int) -> Tensor:
        try:
            return torch.from_numpy(self.load(index).copy())
        except ValueError:
            if not self.skip:
                raise
            return torch.zeros(self.form.shape, dtype=torch.uint8)

    def index_select(self, dimension: int, indices: Tensor) -> Tensor:
        """Return the pictures of these indices; of dimension 0 only."""
        assert dimension == 0
        return self[indices]

    def contiguous(self) -> "Pictures":
        """Return itself."""
        return self

    def path(self, index: int) -> Path:
        """Return the path of a picture."""
        return Path(self.root) / os.fsdecode(self.names[index])

    def load(self, index: int, seed: int | None = None) -> Pixels:
        """Decode a picture: a random crop that `seed` decides, or the centre.

        Raises:
            ValueError: it cannot be read; names the file.
        """
        path = self.path(index)
        try:
            if seed is None:
                return _centre(path, self.form, self.crops.centre)
            return _random_crop(path, self.form, self.crops, seed)
        except Exception as error:  # of a damaged file, Pillow raises anything
            raise ValueError(
                f"{path} cannot be read ({error_text(error)}): repair or delete it, or set "
                "data.source.on_error=skip to leave such files out"
            ) from error


def on_disk(pixels: object) -> bool:
    """Whether pixels are pictures that are decoded when they are asked for."""
    return isinstance(pixels, Pictures)


def _centre(path: Path, form: Form, share: float) -> Pixels:
    """Resize so that the centre crop of `share` of the shorter side has the size that is wanted."""
    if form.fit != "crop" or share == 1:
        return load(path, form)
    height, width = round(form.height / share), round(form.width / share)
    pixels = load(path, Form(height, width, form.channels, form.fit, form.extent))
    top, left = (height - form.height) // 2, (width - form.width) // 2
    return np.ascontiguousarray(pixels[top : top + form.height, left : left + form.width])


def _random_crop(path: Path, form: Form, crops: Crops, seed: int) -> Pixels:
    """Cut a random part out and resize it, as torchvision's RandomResizedCrop.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where the part is still large enough then.
    """
    with Image.open(path, formats=tuple(FORMATS)) as image:
        before = image.size
        part = draw_crop(image.size, crops, seed)
        wanted = (
            -(-before[0] * form.width // max(1, round(part[2] - part[0]))),
            -(-before[1] * form.height // max(1, round(part[3] - part[1]))),
        )
        image.draft("L" if form.channels == 1 else "RGB", wanted)
        scale = [now / then for now, then in zip(image.size, before, strict=True)]
        box = tuple(edge * scale[number % 2] for number, edge in enumerate(part))
        picture = to_8_bits(image, form.channels, form.extent)
        size = (form.width, form.height)
        cut = picture.resize(size, Image.Resampling.BILINEAR, box=box)
        # Turned afterwards: fewer pixels. A crop that was drawn lying is a little more distorted.
        return np.asarray(upright(image, cut).resize(size)).reshape(form.shape)


def draw_crop(size: tuple[int, int], crops: Crops, seed: int) -> tuple[int, int, int, int]:
    """Return left, top, right and lower edge of a random part of a picture of (width, height)."""
    draw = np.random.Generator(np.random.PCG64(seed))
    width, height = size
    for _ in range(ATTEMPTS):
        area = width * height * draw.uniform(*crops.scale)
        ratio = float(np.exp(draw.uniform(*np.log(crops.ratio))))
        wide, high = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < wide <= width and 0 < high <= height:
            left = int(draw.integers(width - wide, endpoint=True))
            top = int(draw.integers(height - high, endpoint=True))
            return left, top, left + wide, top + high
    # The largest part of the middle that has an admissible form.
    wide = min(width, max(1, round(height * crops.ratio[1])))
    high = min(height, max(1, round(width / crops.ratio[0])))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def index(
    folder: Path, key: str, root: str, build: Callable[[], Sequence[tuple[Path, int]]]
) -> tuple[npt.NDArray[np.bytes_], Tensor]:
    """Return names and labels of the files of a split; listed once, then kept in `folder`.

    They are listed anew when a folder that holds files, or one above it, has changed. `key` is what
    the list depends on besides the files below `root`.

    Returns:
        Names below `root`, mapped from the file, and labels, int64 [N].
    """
    digest = hashlib.sha256(f"{root}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()[:20]
    names, labels, note = (folder / f"{digest}.{end}" for end in ("names.npy", "npy", "json"))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{digest}.lock"):
        if not _is_current(note):
            files = build()
            note.unlink(missing_ok=True)
            base = len(root) + 1
            np.save(names, np.array([os.fsencode(str(path)[base:]) for path, _ in files]))
            np.save(labels, np.array([label for _, label in files], np.int64))
            parents = {str(path.parent) for path, _ in files}
            above = {str(Path(parent).parent) for parent in parents}
            places = sorted({root, *parents, *above})
            note.write_text(json.dumps({place: Path(place).stat().st_mtime_ns for place in places}))
        found: Any = np.load(names, mmap_mode="r")
        return found, torch.from_numpy(np.load(labels))


def _is_current(note: Path) -> bool:
    try:
        times = json.loads(note.read_text())
        return all(Path(place).stat().st_mtime_ns == time for place, time in times.items())
    except (OSError, ValueError):
        return False
