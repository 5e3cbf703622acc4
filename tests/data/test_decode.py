"""Pictures of any size and mode, turned into uint8 images of one size."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import error, write_folder
from PIL import Image

from resnet_lab.data import decode
from resnet_lab.data.decode import to_pixels
from resnet_lab.data.image_folder import ImageFolder

RED, BLUE = (250, 0, 0), (0, 0, 250)


def encoded(picture: Image.Image, suffix: str, **options: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, suffix, **options)
    return buffer.getvalue()


def halves(mode: str = "RGB") -> Image.Image:
    """Return a picture 40 wide and 20 high: red on the left, blue on the right."""
    picture = Image.new("RGB", (40, 20), RED)
    picture.paste(BLUE, (20, 0, 40, 20))
    return picture.convert(mode)


def near(pixel: Any, expected: Any) -> bool:
    return bool(np.abs(np.asarray(pixel, int) - np.asarray(expected)).max() <= 12)


def reread(
    content: bytes, tmp_path: Path, size: int = 20, channels: int = 3, **options: Any
) -> Any:
    path = tmp_path / "picture"
    path.write_bytes(content)
    return decode.load(path, size, channels, **options)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("png", "RGB"),
        ("png", "P"),
        ("jpeg", "RGB"),
        ("jpeg", "CMYK"),
        ("webp", "RGB"),
        ("bmp", "RGB"),
        ("tiff", "RGB"),
        ("tiff", "CMYK"),
        ("gif", "P"),
        ("ppm", "RGB"),
    ],
)
def test_formats_and_modes(suffix: str, mode: str, tmp_path: Path) -> None:
    pixels = reread(encoded(halves(mode), suffix), tmp_path)
    assert pixels.shape == (20, 20, 3)
    assert near(pixels[10, 2], RED)
    assert near(pixels[10, 17], BLUE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I"])
def test_grey_modes(mode: str, tmp_path: Path) -> None:
    array = np.zeros((8, 8), np.uint8)
    array[:, 4:] = 255
    if mode.startswith("I"):
        picture = Image.fromarray(array.astype(np.uint16 if "16" in mode else np.int32) * 257)
    else:
        picture = Image.fromarray(array).convert(mode)
    for channels in (1, 3):
        # Pillow writes no PNG of mode I, but has read 16-bit ones into it.
        suffix = "tiff" if mode == "I" else "png"
        pixels = reread(encoded(picture, suffix), tmp_path, 8, channels)
        assert pixels.shape == (8, 8, channels)
        assert (pixels == array[..., None]).all()


def test_16_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    for suffix in ("png", "tiff"):
        picture = Image.fromarray(np.full((4, 4), 128 * 257, np.uint16))
        assert (reread(encoded(picture, suffix), tmp_path, 4, 1) == 128).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(mode: str, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    options = {"transparency": picture.getpixel((0, 0))} if mode == "P" else {}
    assert (reread(encoded(picture, "png", **options), tmp_path, 8) == 255).all()


def test_first_frame_of_several(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    for suffix in ("gif", "webp", "tiff"):
        content = encoded(frames[0], suffix, save_all=True, append_images=frames[1:])
        assert near(reread(content, tmp_path, 8)[4, 4], RED)


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_camera_orientation_is_honoured(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: red belongs to the top
    pixels = reread(encoded(halves(), suffix, exif=exif), tmp_path)
    assert near(pixels[2, 10], RED)
    assert near(pixels[17, 10], BLUE)


def test_fit() -> None:
    picture = Image.new("RGB", (30, 10), RED)
    picture.paste(BLUE, (10, 0, 20, 10))  # red, blue, red
    assert (to_pixels(picture, 10, 3, "crop") == BLUE).all()
    stretched = to_pixels(picture, 30, 3, "stretch")
    assert (stretched[:, [0, 15, 29]] == [RED, BLUE, RED]).all()
    padded = to_pixels(picture, 30, 3, "pad")
    assert (padded[15, [0, 15, 29]] == [RED, BLUE, RED]).all()
    assert (padded[:9] == 0).all()
    assert (padded[21:] == 0).all()


def test_big_jpeg_comes_out_as_a_small_one_would(tmp_path: Path) -> None:
    pixels = reread(encoded(halves().resize((2000, 1000)), "jpeg"), tmp_path, 50)
    assert near(pixels[25, 5], RED)
    assert near(pixels[25, 45], BLUE)


def test_in_memory_pictures_stay_as_they_are() -> None:
    picture = Image.open(io.BytesIO(encoded(halves(), "png")))
    to_pixels(picture, 8, 3)
    assert picture.size == (40, 20)


def test_free_memory_is_plausible() -> None:
    free = decode.free_memory()
    assert free is None or 2**20 < free < 2**50


def test_too_many_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"cat": 10, "dog": 10})
    monkeypatch.setattr(decode, "free_memory", lambda: 2**20)
    message = error(ImageFolder(str(tmp_path), 224))
    assert "16 images of 224x224x3" in message
    assert "smaller image_size" in message
    assert "cache" in message
