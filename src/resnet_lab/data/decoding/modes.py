"""Bring pictures of every mode that Pillow reads to grey or RGB of 8 bits."""

import numpy as np
from PIL import Image, TiffImagePlugin

from resnet_lab.data.pixels import ByUser, Range, limits, to_bytes

WHOLE = (0.0, 65535.0)  # what 16 bits can hold


def to_8_bits(image: Image.Image, channels: int, extent: Range) -> Image.Image:
    """Return a picture as grey ("L") or colour ("RGB").

    - Grey of more than 8 bits (I;16, I, F) is scaled from `extent`. PGM files and TIFFs of 12 bits
      say themselves what is white; of others, "auto" does not know.
    - Transparency is laid on white; palettes, CMYK and YCbCr become RGB; 1 bit is black or white.
    - Colour of 16 bits a channel, Pillow reads as the higher 8 bits: right for the range
      [0, 65535], refused for any other.

    Raises:
        ByUser: the user has to say how, or to convert the files.
        ValueError: Pillow cannot convert such a picture.
    """
    mode, wanted = image.mode, "L" if channels == 1 else "RGB"
    if mode.startswith("I") or mode == "F":
        return _from_numbers(image, extent).convert(wanted)
    if _deep_colour(image):
        if limits(extent) != WHOLE:
            raise ByUser(
                "16 bits a channel in colour: state range=[0, 65535] if white is 65535, else save "
                "it with 8 bits a channel"
            )
        extent = "auto"  # for the 8 bits that Pillow gives
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.load()
    if image.mode != wanted:  # else it would be copied
        image = image.convert(wanted)
    if limits(extent) is None or mode == "1":
        return image
    return Image.fromarray(to_bytes(np.asarray(image), extent))


def _from_numbers(image: Image.Image, extent: Range) -> Image.Image:
    """Scale grey of more than 8 bits."""
    inverted = False
    if image.format == "PPM" and image.mode == "I":
        extent = WHOLE  # Pillow has scaled it from the range in the file's header
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        inverted = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
        if image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
            extent = (0, 4095)
    pixels = to_bytes(np.asarray(image), extent)
    return Image.fromarray(255 - pixels if inverted else pixels)


def _deep_colour(image: Image.Image) -> bool:
    """Tell whether a file has colours of 16 bits a channel; Pillow gives 8 and does not say so."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return any(bits > 8 for bits in image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ()))
    tiles = getattr(image, "tile", ()) if image.format == "PNG" else ()
    return any(str(tile[3]).endswith(";16B") for tile in tiles)
