"""Random changes to a whole batch at once, each image with its own draw, on the batch's device.

Here are crop and flip; `erase.py` and `auto_augment.py` have the rest.

An augmentation is a callable `(images, generator) -> images` on uint8 [B, H, W, C]. It draws from
`generator`, which lives on the CPU, so that one seed gives one stream of draws wherever the images
are; only what is drawn travels to the device.

Torchvision's v2 transforms draw once per call, which on a batch means one crop for every image. The
ones here match torchvision's image-by-image transforms in distribution.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Augmentation(Protocol):
    """What an entry of `data.augment` is."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images of the same dtype and shape, uint8 [B, H, W, C]."""
        ...


def chosen(augment: Mapping[str, Augmentation | None]) -> dict[str, Augmentation]:
    """Return the entries of `data.augment` that are not None.

    Raises:
        ValueError: the entries have no names, or one of them is no augmentation.
    """
    if not isinstance(augment, Mapping):
        raise ValueError(
            f"data.augment is a {type(augment).__name__}: it needs a name for each change, as in "
            "data.augment.flip, or null for none"
        )
    for name, change in augment.items():
        if change is not None and not callable(change):
            raise ValueError(f"data.augment.{name}={change}: only null is known, to leave it out")
    return {name: change for name, change in augment.items() if change is not None}


def try_out(augment: Mapping[str, Augmentation], shape: Sequence[int]) -> None:
    """Hold augmentations to images of a shape [H, W, C], before training starts.

    Raises:
        ValueError: one of them refuses such images, or does not leave them what they are.
    """
    blank = torch.zeros(1, *shape, dtype=torch.uint8)
    for name, change in augment.items():
        try:
            changed = change(blank, torch.Generator().manual_seed(0))
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"data.augment.{name}: {' '.join(str(error).split())}") from error
        if changed.shape != blank.shape or changed.dtype != blank.dtype:
            raise ValueError(
                f"data.augment.{name}: gives {changed.dtype} {tuple(changed.shape)} for "
                f"{blank.dtype} {tuple(blank.shape)}; neither may change"
            )


def send(draws: Tensor, device: torch.device) -> Tensor:
    """Bring what was drawn to the images' device; a GPU fetches it without anyone waiting."""
    if device.type == "cuda":  # only out of page-locked memory
        draws = draws.pin_memory()
    return draws.to(device, non_blocking=True)


class RandomCrop:
    """Pad every side with black, then cut each image out at a place of its own.

    The CIFAR augmentation of He et al. 2015 (section 4.2) is `padding=4`.
    """

    def __init__(self, padding: int) -> None:
        if padding < 1:
            raise ValueError(f"RandomCrop padding={padding}: needs a whole number from 1")
        self.padding = padding

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        batch, height, width, channels = images.shape
        top, left = torch.randint(2 * self.padding + 1, (2, batch), generator=generator).unbind()
        frame = _frame(images.shape, self.padding, images.device)
        frame.inside.copy_(images)
        # Every row of every crop is one run of memory: gather B * H runs of W * C bytes. This is
        # 4 times as fast as advanced indexing and 35 times as fast as per-pixel indices.
        shift = send(torch.add(left * channels, top, alpha=frame.stride), images.device)
        crops = frame.runs.index_select(0, (frame.rows + shift.unsqueeze(1)).flatten())
        return crops.view(batch, height, width, channels)


class _Frame(NamedTuple):
    """Where a batch is padded, uint8 [B, H + 2 padding, W + 2 padding, C], in several views."""

    inside: Tensor  # [B, H, W, C]: within the black margins, which stay
    runs: Tensor  # [*, W C]: as many bytes from each byte on
    rows: Tensor  # int64 [B, H]: runs at the first rows of each padded image
    stride: int  # bytes from row to row


@functools.lru_cache(maxsize=2)
def _frame(shape: tuple[int, ...], padding: int, device: torch.device) -> _Frame:
    batch, height, width, channels = shape
    high, stride = height + 2 * padding, (width + 2 * padding) * channels
    with torch.inference_mode(False):  # a tensor made in it could not be written to outside of it
        padded = torch.zeros(batch, high, stride, dtype=torch.uint8, device=device)
        first = torch.arange(batch, device=device) * high
        rows = (first[:, None] + torch.arange(height, device=device)) * stride
    padded = padded.view(batch, high, -1, channels)
    inside = padded[:, padding : padding + height, padding : padding + width]
    last = padded.numel() - width * channels
    runs = padded.as_strided((last + 1, width * channels), (1, 1))
    return _Frame(inside, runs, rows, stride)


class RandomHorizontalFlip:
    """Mirror each image left to right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip p={p}: a probability lies between 0 and 1")
        self.p = p

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        mirrored = torch.rand(len(images), generator=generator) < self.p
        chosen = send(mirrored.nonzero().flatten(), images.device)
        flipped = images.clone(memory_format=torch.contiguous_format)
        _words(flipped)[chosen] = _words(images.index_select(0, chosen).flip(2))
        return flipped


def _words(images: Tensor) -> Tensor:
    """View each image as a row of whole numbers as wide as fit: fewer of them to write."""
    rows = images.flatten(1)
    for dtype in (torch.int64, torch.int32, torch.int16):
        if rows.shape[1] % dtype.itemsize == 0:
            return rows.view(dtype)
    return rows
