"""Pictures of any size and mode, turned into uint8 images of one size."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_lab.data.decoding import decode
from resnet_lab.data.decoding.decode import Form, to_pixels
from resnet_lab.data.pixels import ByUser

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


def reread(content: bytes, tmp: Path, size: Any = 20, channels: int = 3, **options: Any) -> Any:
    path = tmp / "picture"
    path.write_bytes(content)
    return decode.load(path, Form.of(size, channels, **options))


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
    deep = mode.startswith("I")
    if deep:
        picture = Image.fromarray(array.astype(np.uint16 if "16" in mode else np.int32) * 257)
    else:
        picture = Image.fromarray(array).convert(mode)
    options = {"extent": [0, 65535]} if deep else {}
    for channels in (1, 3):
        # Pillow writes no PNG of mode I, but has read 16-bit ones into it.
        suffix = "tiff" if mode == "I" else "png"
        pixels = reread(encoded(picture, suffix), tmp_path, 8, channels, **options)
        assert pixels.shape == (8, 8, channels)
        assert (pixels == array[..., None]).all()


def refusal(content: bytes, tmp_path: Path, **options: Any) -> str:
    with pytest.raises(ByUser) as caught:
        reread(content, tmp_path, 4, 1, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


NUMBERS = {  # what a file holds, its black and white
    "uint16": (np.uint16, [0, 65535]),
    "12 bits in 16": (np.uint16, [0, 4095]),
    "int32": (np.int32, [-1000, 400]),
    "float32": (np.float32, [0, 1]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_more_than_8_bits_are_scaled_from_the_range_that_is_stated(
    name: str, tmp_path: Path
) -> None:
    dtype, (low, high) = NUMBERS[name]
    values = np.linspace(low, high, 16).reshape(4, 4).astype(dtype)
    content = encoded(Image.fromarray(values), "tiff")
    found = reread(content, tmp_path, 4, 1, extent=[low, high])[..., 0]
    assert np.abs(found - np.linspace(0, 255, 16).reshape(4, 4)).max() <= 1
    said = refusal(content, tmp_path)
    assert "nothing says which are black and white" in said
    assert "range=[" in said


def test_what_lies_beyond_the_range_is_cut_off(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(np.array([[-5, 0.25], [0.5, 9]], np.float32)), "tiff")
    found = reread(content, tmp_path, 2, 1, extent=[0, 0.5])[..., 0]
    assert found.tolist() == [[0, 128], [255, 255]]


def test_a_range_of_bytes_is_kept_to_and_one_beyond_them_is_refused(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(np.full((4, 4), 20, np.uint8)), "png")
    assert (reread(content, tmp_path, 4, 1, extent=[0, 100]) == 51).all()
    assert "uint8 values cannot have range=[0, 4095]" in refusal(
        content, tmp_path, extent=[0, 4095]
    )


def test_formats_that_say_what_is_white_need_no_range(tmp_path: Path) -> None:
    values = np.array([[0, 1000], [4000, 4095]], np.uint16)
    pgm = b"P5 2 2 4095\n" + values.astype(">u2").tobytes()
    assert reread(pgm, tmp_path, 2, 1)[..., 0].tolist() == [[0, 62], [249, 255]]
    a, b = values.ravel()[:2], values.ravel()[2:]
    packed = b"".join(
        bytes([int(x) >> 4, (int(x) & 15) << 4 | int(y) >> 8, int(y) & 255]) for x, y in (a, b)
    )
    assert reread(tiff(packed, 2, 2, bits=[12]), tmp_path, 2, 1)[..., 0].tolist() == [
        [0, 62],
        [249, 255],
    ]


def test_white_is_zero(tmp_path: Path) -> None:
    content = tiff(np.array([0, 65535, 65535, 0], "<u2").tobytes(), 2, 2, bits=[16], photometric=0)
    found = reread(content, tmp_path, 2, 1, extent=[0, 65535])[..., 0]
    assert found.tolist() == [[255, 0], [0, 255]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_a_channel_in_colour_are_not_cut_to_the_higher_8(
    suffix: str, tmp_path: Path
) -> None:
    values = np.full((2, 2, 3), 4095, np.uint16)  # 12 bits; the higher 8 would be 15 of 255
    content = (
        tiff(values.astype("<u2").tobytes(), 2, 2, bits=[16, 16, 16], photometric=2)
        if suffix == "tiff"
        else png16(values)
    )
    for options in ({}, {"extent": [0, 4095]}):
        assert "16 bits a channel in colour" in refusal(content, tmp_path, **options)
    assert (reread(content, tmp_path, 2, 3, extent=[0, 65535]) == 15).all()


def tiff(data: bytes, width: int, height: int, bits: list[int], photometric: int = 1) -> bytes:
    """Return an uncompressed little-endian TIFF of one strip."""
    entries = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, bits), (259, 3, [1]),
        (262, 3, [photometric]), (273, 4, [8]), (277, 3, [len(bits)]), (278, 3, [height]),
        (279, 4, [len(data)]),
    ]  # fmt: skip
    start = 8 + len(data) + len(data) % 2
    extra, table = b"", struct.pack("<H", len(entries))
    after = start + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", after + len(extra)), extra + packed
        table += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    body = data + b"\0" * (len(data) % 2)
    return b"II*\0" + struct.pack("<I", start) + body + table + b"\0" * 4 + extra


def png16(values: np.ndarray) -> bytes:
    """Return a PNG with 16 bits a channel, RGB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


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


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp", "tiff"])
def test_camera_orientation_is_honoured(suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: red belongs to the top
    pixels = reread(encoded(halves(), suffix, exif=exif), tmp_path)
    assert near(pixels[2, 10], RED)
    assert near(pixels[17, 10], BLUE)


def test_fit() -> None:
    picture = Image.new("RGB", (30, 10), RED)
    picture.paste(BLUE, (10, 0, 20, 10))  # red, blue, red
    assert (to_pixels(picture, Form(10, 10, 3, "crop")) == BLUE).all()
    stretched = to_pixels(picture, Form(30, 30, 3, "stretch"))
    assert (stretched[:, [0, 15, 29]] == [RED, BLUE, RED]).all()
    padded = to_pixels(picture, Form(30, 30, 3, "pad"))
    assert (padded[15, [0, 15, 29]] == [RED, BLUE, RED]).all()
    assert (padded[:9] == 0).all()
    assert (padded[21:] == 0).all()


def test_rectangular_pictures_stay_rectangular(tmp_path: Path) -> None:
    for fit in ("crop", "pad", "stretch"):
        pixels = reread(encoded(halves(), "png"), tmp_path, [10, 20], fit=fit)
        assert pixels.shape == (10, 20, 3)
        assert near(pixels[:, :8], RED)
        assert near(pixels[:, 12:], BLUE)


def test_big_jpeg_comes_out_as_a_small_one_would(tmp_path: Path) -> None:
    pixels = reread(encoded(halves().resize((2000, 1000)), "jpeg"), tmp_path, 50)
    assert near(pixels[25, [5, 45]], [RED, BLUE])


def test_in_memory_pictures_stay_as_they_are() -> None:
    picture = Image.open(io.BytesIO(encoded(halves(), "png")))
    to_pixels(picture, Form(8, 8, 3))
    assert picture.size == (40, 20)
