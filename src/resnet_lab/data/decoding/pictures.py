"""Picture files that look like pixels in memory: decoded when they are asked for."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from resnet_lab.data.decoding.decode import FORMATS, Form, error_text, load, upright
from resnet_lab.data.decoding.modes import to_8_bits
from resnet_lab.data.pixels import Pixels, resize_bytes

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

Box = tuple[int, int, int, int]  # left, upper, right and lower edge of a part of a picture

ATTEMPTS = 10  # to draw a crop that lies in the picture, as torchvision's


@dataclass(frozen=True)
class Crops:
    """What streaming cuts out of a picture."""

    scale: tuple[float, float] = (0.08, 1.0)  # in training, least and greatest share of the area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # in training, least and greatest width / height


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
            return self.load(index)
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

    def load(self, index: int, seed: int | None = None) -> Tensor:
        """Decode a picture to uint8 [H, W, C]: a random crop that `seed` decides, or the centre.

        Raises:
            ValueError: it cannot be read; names the file.
        """
        path = self.path(index)
        try:
            if seed is None:
                return torch.from_numpy(load(path, self.form).copy())
            return _random_crop(path, self.form, self.crops, seed)
        except Exception as error:  # of a damaged file, Pillow raises anything
            raise ValueError(
                f"{path} cannot be read ({error_text(error)}): repair or delete it, or set "
                "data.source.on_error=skip to leave such files out"
            ) from error


def on_disk(pixels: object) -> bool:
    """Whether pixels are pictures that are decoded when they are asked for."""
    return isinstance(pixels, Pictures)


def _random_crop(path: Path, form: Form, crops: Crops, seed: int) -> Tensor:
    """Cut a random part out and resize it, as torchvision's RandomResizedCrop.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where the part is still large enough then.
    """
    raw = path.read_bytes()
    if (cut := _cut_by_simplejpeg(raw, form, crops, seed)) is None:
        with Image.open(BytesIO(raw), formats=tuple(FORMATS)) as image:
            before = image.size
            part = draw_crop(before, crops, seed)
            image.draft("L" if form.channels == 1 else "RGB", _needed(before, part, form))
            scale = [now / then for now, then in zip(image.size, before, strict=True)]
            left, top, right, lower = (round(edge * scale[n % 2]) for n, edge in enumerate(part))
            picture = to_8_bits(image, form.channels, form.extent)
            picture = picture.crop((left, top, max(right, left + 1), max(lower, top + 1)))
            cut = np.array(upright(image, picture))
    pixels = torch.from_numpy(cut.reshape(1, *cut.shape[:2], form.channels))
    return resize_bytes(pixels, (form.height, form.width))[0]


def _cut_by_simplejpeg(raw: bytes, form: Form, crops: Crops, seed: int) -> Pixels | None:
    """Cut a random part out of a usual JPEG that is decoded whole; None if it is none.

    The pixels are those of Pillow, which copies more. The package is an extra.
    """
    unusual = not raw.startswith(b"\xff\xd8") or b"Exif\0\0" in raw or form.extent != "auto"
    if simplejpeg is None or unusual:
        return None
    height, width, colours, _ = simplejpeg.decode_jpeg_header(raw)
    left, top, right, lower = part = draw_crop((width, height), crops, seed)
    wide, high = _needed((width, height), part, form)
    if colours not in ("YCbCr", "Gray") or min(width // wide, height // high) >= 2:
        return None
    pixels: Pixels = simplejpeg.decode_jpeg(raw, "GRAY" if form.channels == 1 else "RGB")
    return pixels[top:lower, left:right]


def _needed(size: tuple[int, int], part: Box, form: Form) -> tuple[int, int]:
    """Return width and height of the smallest whole picture in which a part is large enough."""
    left, top, right, lower = part
    return -(-size[0] * form.width // (right - left)), -(-size[1] * form.height // (lower - top))


def draw_crop(size: tuple[int, int], crops: Crops, seed: int) -> Box:
    """Return a random part of a picture of (width, height)."""
    draw = Random(seed)
    width, height = size
    for _ in range(ATTEMPTS):
        area = width * height * draw.uniform(*crops.scale)
        ratio = math.exp(draw.uniform(*map(math.log, crops.ratio)))
        wide, high = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < wide <= width and 0 < high <= height:
            left, top = draw.randint(0, width - wide), draw.randint(0, height - high)
            return left, top, left + wide, top + high
    # The largest part of the middle that has an admissible form.
    wide = min(width, max(1, round(height * crops.ratio[1])))
    high = min(height, max(1, round(width / crops.ratio[0])))
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high


def index(
    folder: Path, key: str, root: str, build: Callable[[], Iterable[tuple[Path, int]]]
) -> tuple[npt.NDArray[np.bytes_], Tensor]:
    """Return names and labels of the files of a split; listed once, then kept in `folder`.

    They are listed anew when a folder that holds files, or one above it, has changed. `key` is what
    the list depends on besides the files below `root`.

    Returns:
        Names below `root`, bytes [N], and labels, int64 [N]: mapped from files, so that all
        processes share one copy.
    """
    digest = hashlib.sha256(f"{root}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()[:20]
    names, labels, note = (folder / f"{digest}.{end}" for end in ("names.npy", "npy", "json"))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{digest}.lock"):
        if not _is_current(note):
            note.unlink(missing_ok=True)
            found, numbers, parents = [], [], set()
            for path, label in build():
                name = os.fspath(path)
                found.append(os.fsencode(name[len(root) + 1 :]))
                numbers.append(label)
                parents.add(os.path.dirname(name))  # noqa: PTH120  # of millions, as fast as can be
            np.save(names, np.array(found))
            np.save(labels, np.array(numbers, np.int64))
            above = {str(Path(parent).parent) for parent in parents}
            places = sorted({root, *parents, *above})
            note.write_text(json.dumps({place: Path(place).stat().st_mtime_ns for place in places}))
        # Labels are mapped copy on write: torch wants memory that it may write to.
        mapped: Any = np.load(names, mmap_mode="r")
        return mapped, torch.from_numpy(np.load(labels, mmap_mode="c"))


def _is_current(note: Path) -> bool:
    try:
        times = json.loads(note.read_text())
        return all(Path(place).stat().st_mtime_ns == time for place, time in times.items())
    except (OSError, ValueError):
        return False
